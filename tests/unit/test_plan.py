"""The network plan of the dev stack, and every rule with its remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.schema import StackConfig
from network.plan import NetworkPlanError, plan_network
from network.prefixes import probe_block
from tests.stacks import HOST_KEY, STACK_FILES, ssh_region, stack, stack_data

Edits = list[tuple[str, Any]]


def refusal(edits: Edits) -> str:
    with pytest.raises(NetworkPlanError) as caught:
        plan_network(stack(*edits))
    assert str(caught.value) == "\n".join(caught.value.problems)
    return str(caught.value)


def machines(*entries: tuple[str, str], gateway: str = "") -> list[dict[str, Any]]:
    return [{"name": name, "node_ip": ip, "gateway": name == gateway} for name, ip in entries]


def tx(index: int, **changes: Any) -> dict[str, Any]:
    """The region on existing machines with one machine changed; None removes a key."""
    region = ssh_region()
    machine = region["machines"][index] | changes
    region["machines"][index] = {key: value for key, value in machine.items() if value is not None}
    return region


def slotted(index: int, slot: int) -> dict[str, Any]:
    """A region of the dev stack on a slot, its listed machines on the slot's addresses."""
    region = stack_data()["regions"][index]
    del region["node_cidr"], region["pod_cidr"]
    for machine in region.get("machines", []):
        machine["node_ip"] = f"10.0.{slot}.{machine['node_ip'].split('.')[3]}"
    return {**region, "slot": slot}


HUB_ON_SSH = {
    "name": "hub",
    "kind": "cloud",
    "provider": {"kind": "ssh", "lan": "routed"},
    "control_plane": {"kind": "kubeadm", "machines": 1},
    "gateways": {"count": 2},
    "node_cidr": "10.0.0.0/24",
    "pod_cidr": "10.128.0.0/16",
    "cni": "plain",
    "machines": [
        {
            "name": "cp",
            "node_ip": "10.0.0.5",
            "address": "a.example.com",
            "host_key": HOST_KEY,
            "control_plane": True,
        },
        {
            "name": "gw-b",
            "node_ip": "10.0.0.7",
            "address": "b.example.com",
            "host_key": HOST_KEY,
            "gateway": True,
        },
        {
            "name": "gw-a",
            "node_ip": "10.0.0.6",
            "address": "c.example.com",
            "host_key": HOST_KEY,
            "gateway": True,
        },
    ],
}

RULES: list[tuple[str, Edits, str]] = [
    (
        "somebody else's network among the pods",
        [("reserved", [{"cidr": "10.200.0.0/16", "owner": "office VPN"}])],
        "kubernetes: pod_supernet 10.128.0.0/9 touches reserved 10.200.0.0/16 (office VPN): machines route a whole "
        "supernet to their gateway and would not reach it any more; write a supernet beside it, for example "
        "pod_supernet: 10.128.0.0/10, with every pod_cidr inside",
    ),
    (
        "somebody else's network among the Services",
        [("reserved", [{"cidr": "10.96.8.0/24", "owner": "mainframe"}])],
        "kubernetes: service_cidr 10.96.0.0/16 overlaps reserved 10.96.8.0/24 (mainframe); write a free range",
    ),
    (
        "a region inside another one's VPC",
        [("regions.0.lan_ranges", ["10.0.0.0/15"])],
        "region gpu: node_cidr 10.1.0.0/24 overlaps region hub: lan_ranges 10.0.0.0/15, so its machines would look "
        "for it at home; write a free range, for example node_cidr: 10.2.0.0/24",
    ),
    (
        "docker in the machines' own range",
        [("regions.1.lan_ranges", ["10.1.0.128/25"])],
        "region gpu: lan_ranges 10.1.0.128/25 is cut out of the region's own node_cidr 10.1.0.0/24; write a free",
    ),
    (
        "a provider network that Tailscale drops",
        [("regions.1.lan_ranges", ["100.100.2.0/24"])],
        "region gpu: lan_ranges 100.100.2.0/24 touches 100.64.0.0/10, which belongs to the tailnet's device addresses",
    ),
    (
        "a NAT without a reason",
        [("regions.1.provider.nat", "easy")],
        "region gpu: provider.nat easy hides its gateways, so no other region can dial them; remove nat, or "
        "no_inbound:",
    ),
    (
        "a gateway at a private address",
        [("regions.2", tx(0, address="192.168.1.7"))],
        "region tx, machine tx-a: is a gateway at 192.168.1.7, a private address that other regions cannot dial; "
        "write address: its public one, or no_inbound:",
    ),
    (
        "a machine at its address in the tailnet",
        [("regions.2", tx(1, address="100.101.102.103"))],
        "address 100.101.102.103 is one of a tailnet or of a carrier's NAT; write the one that the machine has without",
    ),
    (
        "a gateway's public address among the nodes",
        [("kubernetes.node_supernet", "203.0.112.0/20"), ("regions.2", tx(0, address="203.0.113.9"))],
        "is a gateway at 203.0.113.9, which lies in kubernetes.node_supernet 203.0.112.0/20: the tunnel's own packets "
        "would be routed into the tunnel; write a private node_supernet, for example 10.0.0.0/9",
    ),
    (
        "a copied machine with its address",
        [("regions.2", tx(1, address="198.51.100.7", jump=None))],
        "machine tx-b: SSH at 198.51.100.7 port 22 is also that of tx-a, so one machine would be set up twice; write "
        "each one's own address",
    ),
    (
        "two gateways behind one address",
        [("regions.2", tx(1, address="198.51.100.7", port=2202, jump=None, gateway=True))],
        "machine tx-b: is a device of the tailnet at 198.51.100.7, and so is tx-a: behind one address only one of "
        "them gets what arrives at UDP 41641; write an address of its own, or make only one of them a gateway",
    ),
    (
        "a chain of jumps",
        [("regions.2", tx(0, jump="tx-b")), ("regions.2.machines.1.address", "198.51.100.8")],
        "region tx, machine tx-a: jump tx-b itself needs jump tx-a, and SSH goes through one machine only; write a "
        "jump that the operator reaches directly, or remove jump from tx-b",
    ),
    (
        "a public API server without an address",
        [
            ("regions.0", HUB_ON_SSH),
            ("regions.0.machines.0", HUB_ON_SSH["machines"][0] | {"address": None, "jump": "gw-a"}),  # type: ignore[index]
        ],
        "machine cp: runs a public API server (access.api), but has no address; write address: its public one, or",
    ),
    (
        "a first address for listed machines",
        [("regions.0", HUB_ON_SSH | {"gateways": {"count": 2, "first_ip": "10.0.0.6"}})],
        "region hub: gateways.first_ip written, but the machines are listed; remove it",
    ),
    (
        "a control server inside the cluster",
        [("tailnet.url", "https://10.1.0.5")],
        "tailnet: url https://10.1.0.5 lies in kubernetes.node_supernet (10.0.0.0/9), which gateways reach only "
        "after they have talked to it; write an address or a name outside the cluster",
    ),
    (
        "an endpoint in the cluster's own domain",
        [("kubernetes.endpoint", "api.cluster.local")],
        "endpoint api.cluster.local lies in cluster.local, where the cluster's own DNS answers; write a name outside",
    ),
    (
        "the tunnel as LAN",
        [("regions.1.lan_device", "tailscale0")],
        "region gpu: lan_device tailscale0 is no interface to a LAN; write the one that has the node IPs",
    ),
    (
        "a slot that two regions have",
        [("regions.0", slotted(0, 3)), ("regions.1", slotted(1, 3))],
        "region gpu: slot 3 is also the slot of region hub; write a free one, for example slot: 0",
    ),
    (
        "a slot whose ranges another region has",
        [("regions.1", slotted(1, 0))],
        "region gpu: node_cidr 10.0.0.0/24 overlaps region hub: node_cidr 10.0.0.0/24; write a free one, for "
        "example slot: 1",
    ),
    (
        "node ranges overlap",
        [("regions.1.node_cidr", "10.0.0.0/24")],
        "region gpu: node_cidr 10.0.0.0/24 overlaps region hub: node_cidr 10.0.0.0/24; "
        "write a free range, for example node_cidr: 10.0.1.0/24",
    ),
    (
        "pod ranges overlap",
        [("regions.1.pod_cidr", "10.128.64.0/18")],
        "region gpu: pod_cidr 10.128.64.0/18 overlaps region hub: pod_cidr 10.128.0.0/16; "
        "write a free range, for example pod_cidr: 10.129.0.0/18",
    ),
    (
        "the service range overlaps a node range",
        [("regions.1.node_cidr", "10.96.3.0/24")],
        "region gpu: node_cidr 10.96.3.0/24 overlaps kubernetes: service_cidr "
        "10.96.0.0/16; write a free range",
    ),
    (
        "the service range lies among the pods",
        [("kubernetes.service_cidr", "10.200.0.0/16")],
        "kube-proxy would take Services for pods; write service_cidr: 10.96.0.0/16",
    ),
    (
        "the service range is too large",
        [("kubernetes.service_cidr", "10.96.0.0/11")],
        "is a /11; write a range between /12 and /24",
    ),
    (
        "the supernets overlap",
        [("kubernetes.node_supernet", "10.0.0.0/8")],
        "node_supernet 10.0.0.0/8 overlaps pod_supernet 10.128.0.0/9; write two ranges apart",
    ),
    (
        "a supernet holds the tailnet's addresses",
        [("kubernetes.node_supernet", "100.0.0.0/9")],
        "node_supernet 100.0.0.0/9 touches 100.100.100.0/24, which belongs to Tailscale's "
        "own services (MagicDNS",
    ),
    (
        "a node range lies outside its supernet",
        [("regions.1.node_cidr", "192.168.0.0/24")],
        "node_cidr 192.168.0.0/24 lies outside kubernetes.node_supernet 10.0.0.0/9, so "
        "other regions would not "
        "route to it; write a free range, for example node_cidr: 10.0.1.0/24",
    ),
    (
        "a pod range lies outside its supernet",
        [("regions.1.pod_cidr", "10.64.0.0/16")],
        "lies outside kubernetes.pod_supernet 10.128.0.0/9",
    ),
    (
        "Tailscale's own services",
        [("regions.1.node_cidr", "100.100.100.0/24")],
        "which belongs to Tailscale's own services (MagicDNS answers at 100.100.100.100); write a free range",
    ),
    (
        "Tailscale on every tailnet",
        [("regions.1.node_cidr", "100.100.0.0/24")],
        "touches 100.100.0.0/24, which",
    ),
    ("Tailscale on ChromeOS", [("regions.1.node_cidr", "100.115.92.0/24")], "touches 100.115.92.0/23, which"),
    ("CGNAT", [("regions.1.pod_cidr", "100.64.0.0/16")], "belongs to the tailnet's device addresses (CGNAT"),
    (
        "the lab's public segment",
        [("regions.1.node_cidr", "198.51.100.0/24")],
        "the lab's public segment; write",
    ),
    (
        "docker's bridge",
        [("regions.1.node_cidr", "172.17.5.0/24")],
        "Docker's default bridge, present on many",
    ),
    ("link-local", [("regions.1.node_cidr", "169.254.1.0/24")], "link-local addresses (cloud metadata"),
    ("loopback", [("regions.1.node_cidr", "127.0.0.0/24")], "belongs to loopback; write a free range"),
    (
        "a node IP outside its range",
        [("regions.1.machines.2.node_ip", "10.9.0.12")],
        "region gpu, machine gpu-c: node IP 10.9.0.12 lies outside node_cidr 10.1.0.0/24; "
        "write node_ip: one of 10.1.0.2 to 10.1.0.254",
    ),
    (
        "a range that holds none of its machines",
        [("regions.1.node_cidr", "10.5.0.0/24")],
        "region gpu: node_cidr 10.5.0.0/24 holds none of its 3 machines (10.1.0.10 to 10.1.0.12); "
        "write a node_cidr that contains them, or node IPs inside it",
    ),
    (
        "the network address",
        [("regions.1.machines.2.node_ip", "10.1.0.0")],
        "is the network address of 10.1.0.0/24",
    ),
    (
        "the broadcast address",
        [("regions.1.machines.2.node_ip", "10.1.0.255")],
        "is the broadcast address of",
    ),
    (
        "the lab's router",
        [("regions.1.machines.2.node_ip", "10.1.0.1")],
        "is the address of the lab's router in",
    ),
    (
        "the same node IP twice",
        [("regions.1.machines.2.node_ip", "10.1.0.10")],
        "region gpu: node IP 10.1.0.10 is used by gpu-a (node_ip), gpu-c (node_ip); write "
        "a different one for each",
    ),
    (
        "counted machines on each other's addresses",
        [("regions.0.gateways.first_ip", "10.0.0.10")],
        "is used by hub-cp-1 (control_plane.first_ip), hub-gw-1 (gateways.first_ip)",
    ),
    (
        "counted machines that leave their range",
        [("regions.0.node_groups", [{"name": "cpu", "count": 9, "first_ip": "10.0.0.250"}])],
        "region hub, machine hub-cpu-6: node IP 10.0.0.255 is the broadcast address of 10.0.0.0/24; "
        "write node_groups[0].first_ip: one of 10.0.0.2 to 10.0.0.254",
    ),
    (
        "a pod range with too few node ranges",
        [("regions.1.pod_cidr", "10.129.0.0/21")],
        "is host 10 of 10.1.0.0/24 and takes pod range number 10, but pod_cidr "
        "10.129.0.0/21 holds 8 ranges of /24 "
        "(node_pod_prefix); write a node IP with a host number below 8, or a pod_cidr of /20 or larger",
    ),
    (
        "a machine's name twice",
        [("regions.1.machines.2.name", "gpu-a")],
        "machine gpu-a: 2 machines have this name (in gpu); a machine's name is its Kubernetes node's",
    ),
    (
        "a machine named like a counted one",
        [("regions.1.machines.2.name", "hub-gw-1")],
        "machine hub-gw-1: 2 machines have this name (in gpu, hub)",
    ),
    (
        "a region's name twice",
        [("regions.1.name", "hub")],
        "region hub: 2 regions have this name; give each region",
    ),
    (
        "a cloud region without a gateway",
        [("regions.0.gateways.count", 0)],
        "region hub: has no gateway, so nothing outside can reach it; write gateways: {count: 2}",
    ),
    (
        "a GPU region without a gateway",
        [("regions.1.machines", machines(("gpu-a", "10.1.0.10")))],
        "region gpu: has no gateway, so nothing outside can reach it; write gateway: true "
        "on one or two of its machines",
    ),
    (
        "a GPU region without machines",
        [("regions.1.machines", [])],
        "list at least one machine with gateway: true",
    ),
    ("five gateways", [("regions.0.gateways.count", 5)], "region hub: 5 gateways; write at most 4"),
    (
        "a range too small for its ladder",
        [("regions.1.node_cidr", "10.1.0.0/29")],
        "node_cidr 10.1.0.0/29 is too small for 2 gateways, which must be able to take each other's place by longer "
        "prefixes; write a /28 or larger, or fewer gateways",
    ),
    (
        "a pod range too small for its ladder",
        [("regions.1.pod_cidr", "10.129.0.0/26"), ("kubernetes.node_pod_prefix", 28)],
        "pod_cidr 10.129.0.0/26 is too small for 2 gateways, which must be able to take each other's place by longer "
        "prefixes; write a /25 or larger, or fewer gateways",
    ),
    (
        "pod ranges too small for the probes of four gateways",
        [("regions.0.gateways.count", 4), ("kubernetes.node_pod_prefix", 28)],
        "region hub: with kubernetes.node_pod_prefix 28 the addresses at which 4 gateways are probed would be another "
        "machine's pods; write node_pod_prefix: 27 or less, or fewer gateways",
    ),
    (
        "slots too small for their ladder",
        [
            ("kubernetes.slots", {"node_prefix": 27, "pod_prefix": 16}),
            (
                "regions.1",
                {
                    **stack_data()["regions"][1],
                    "node_cidr": None,
                    "pod_cidr": None,
                    "slot": 40,
                    "machines": [
                        {"name": f"gpu-{host}", "node_ip": f"10.0.5.{host}", "gateway": True}
                        for host in (2, 3, 4)
                    ],
                },
            ),
        ],
        "region gpu: node_cidr 10.0.5.0/27 is too small for 3 gateways, which must be able to take each other's place "
        "by longer prefixes; write kubernetes.slots.node_prefix: 26 or less, or ranges in place of the slot, or fewer",
    ),
    (
        "a range without hosts",
        [("regions.1.node_cidr", "10.1.0.0/31")],
        "has no room for machines; write a /30",
    ),
    (
        "a Tailscale too old for two gateways",
        [("tailnet.version", "1.84.3")],
        "tailnet: version 1.84.3 with 2 gateways in region hub: below 1.98.10 a packet "
        "sent by any gateway but the "
        "primary is dropped by the receiver; write version: 1.98.10 or later, or one gateway per region",
    ),
    (
        "more devices than the tailnet allows",
        [("tailnet.max_devices", 3)],
        "tailnet: max_devices is 3, the stack's gateways are 4 devices; write fewer gateways per region",
    ),
    ("no cloud region", [("regions.0", ssh_region())], "write exactly one region with kind: cloud"),
    (
        "two cloud regions",
        [("regions.1", stack_data()["regions"][0] | {"name": "hub2"})],
        "regions: hub, hub2 are all of kind cloud; write exactly one",
    ),
    (
        "three control plane machines",
        [("regions.0.control_plane.machines", 3)],
        "write machines: 1 (the endpoint",
    ),
    (
        "machines listed where they are counted",
        [("regions.0.machines", machines(("x", "10.0.0.9")))],
        "region hub: machines are listed, but a cloud region on lab counts them; remove machines",
    ),
    (
        "a control plane in a GPU region",
        [("regions.1.machines.2.control_plane", True)],
        "region gpu, machine gpu-c: control_plane: true in a GPU region; the control plane "
        "lives in the cloud region",
    ),
    (
        "an address where the lab gives one",
        [("regions.1.machines.0.address", "198.51.100.1")],
        "region gpu, machine gpu-a: address written, but lab makes the machine and hands "
        "these out; remove it",
    ),
    (
        "a gateway on ssh without an address",
        [("regions.2", tx(0, address=None))],
        "region tx, machine tx-a: is a gateway without an address; write address: its public IP",
    ),
    (
        "a machine on ssh without a way to it",
        [("regions.2", tx(1, jump=None))],
        "region tx, machine tx-b: has neither address nor jump; write address: its SSH host, or jump:",
    ),
    (
        "a jump to nowhere",
        [("regions.2", tx(1, jump="tx-z"))],
        "jump tx-z is not a machine of this region that has",
    ),
    ("a jump to itself", [("regions.2", tx(1, jump="tx-b"))], "jump tx-b is itself; write one of tx-a"),
    (
        "a missing host key",
        [("regions.2", tx(1, host_key=None))],
        'write host_key: "ssh-ed25519 ..." as `ssh-keyscan',
    ),
    (
        "flags that do not match the counts",
        [("regions.0", HUB_ON_SSH | {"gateways": {"count": 1}})],
        "region hub: gateways.count is 1, but 2 of its machines have gateway: true; write "
        "count: 2, or flag 1 machines",
    ),
    (
        "a control plane that is a gateway",
        [("regions.0", HUB_ON_SSH), ("regions.0.machines.0", HUB_ON_SSH["machines"][0] | {"gateway": True})],  # type: ignore[index]
        "machine cp: is both control plane and gateway; write the two on different machines",
    ),
]


@pytest.mark.parametrize(("edits", "remedy"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_the_plan_refuses_with_a_remedy(edits: Edits, remedy: str) -> None:
    assert remedy in refusal(edits)


def test_all_problems_come_at_once_and_each_once() -> None:
    lines = refusal(
        [
            ("regions.1.pod_cidr", "10.128.0.0/16"),
            ("tailnet.max_devices", 1),
            ("regions.1.machines.2.name", "gpu-a"),
        ]
    ).splitlines()
    assert len(lines) == len(set(lines)) == 3


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_every_committed_stack_has_a_plan(path: Path) -> None:
    assert plan_network(StackConfig.model_validate(stack_data(path))).hub.name == "hub"


def test_the_dev_plan() -> None:
    plan = plan_network(stack())
    hub, gpu = plan.regions
    assert [(node.name, str(node.node_ip), node.role) for node in hub.nodes] == [
        ("hub-cp-1", "10.0.0.10", "control-plane"),
        ("hub-gw-1", "10.0.0.20", "gateway"),
        ("hub-gw-2", "10.0.0.21", "gateway"),
    ]
    assert [str(node.pod_cidr) for node in gpu.nodes] == [
        "10.129.10.0/24",
        "10.129.11.0/24",
        "10.129.12.0/24",
    ]
    assert [[str(prefix) for prefix in node.advertise] for node in gpu.nodes] == [
        ["10.1.0.0/24", "10.129.0.0/16"],
        ["10.1.0.0/25", "10.1.0.128/25", "10.129.0.0/17", "10.129.128.0/17"],
        [],
    ]
    assert (str(plan.dns_ip), plan.mtu, plan.mss, plan.devices) == ("10.96.0.10", 1280, 1240, 4)
    assert (str(plan.api_address), str(gpu.next_hop), gpu.tag) == (
        "10.0.0.10",
        "10.1.0.10",
        "tag:tailspan-gpu",
    )
    assert [node.name for node in gpu.workers] == ["gpu-c"]
    assert plan.region("gpu") is gpu
    assert (gpu.nodes[0].generation, hub.nodes[0].generation) == (1, 1)
    assert gpu.nodes[0].gpu is not None
    assert hub.nodes[0].gpu is None


def test_machines_without_a_shared_switch_reach_their_gateways_through_a_tunnel() -> None:
    west = plan_network(StackConfig.model_validate(stack_data(STACK_FILES[-1]))).region("west")
    assert west.reach == "tunnel"


def test_a_hub_on_existing_machines_is_planned_from_their_flags() -> None:
    hub = plan_network(stack(("regions.0", HUB_ON_SSH))).hub
    assert [node.name for node in hub.control_plane] == ["cp"]
    # Ordered by address, so that reordering the stack file moves no prefix.
    assert [node.name for node in hub.gateways] == ["gw-a", "gw-b"]


def test_a_wrong_range_is_one_line_and_not_one_per_machine() -> None:
    assert len(refusal([("regions.1.node_cidr", "10.5.0.0/24")]).splitlines()) == 1


def test_one_gateway_may_run_an_old_tailscale() -> None:
    edits: Edits = [
        ("tailnet.version", "1.84.3"),
        ("regions.0.gateways.count", 1),
        ("regions.1.machines.1.gateway", False),
    ]
    assert plan_network(stack(*edits)).devices == 2


def test_a_region_behind_a_nat_is_planned_if_it_says_why_it_works() -> None:
    edits: Edits = [
        ("regions.1.provider.nat", "hard"),
        ("regions.1.no_inbound", "rented flat, dials the hub"),
    ]
    assert plan_network(stack(*edits)).region("gpu").no_inbound == "rented flat, dials the hub"


def test_gateways_that_nobody_dials_need_no_public_address() -> None:
    region = ssh_region(no_inbound="campus firewall, dials the hub")
    region["machines"][0] |= {"address": "192.168.1.7"}
    region["machines"][1] |= {"gateway": True}
    assert len(plan_network(stack(("regions.2", region))).region("tx").gateways) == 2


@pytest.mark.parametrize(("prefix", "pods"), [(24, 110), (25, 110), (26, 60), (28, 12)])
def test_a_machine_runs_no_more_pods_than_its_range_has_addresses_for(prefix: int, pods: int) -> None:
    assert plan_network(stack(("kubernetes.node_pod_prefix", prefix))).max_pods == pods


@pytest.mark.parametrize(("gateways", "node", "pod"), [(2, 28, 25), (3, 26, 23), (4, 24, 21)])
def test_blocks_are_as_small_as_their_ladder_allows_and_no_smaller(
    gateways: int, node: int, pod: int
) -> None:
    listed = [
        {"name": f"gpu-{host}", "node_ip": f"10.1.0.{host}", "gateway": host - 2 < gateways}
        for host in range(2, 7)
    ]
    # Of two gateways' least pod range the five machines can only have small parts.
    size = 28 if gateways == 2 else 27
    edits: Edits = [("kubernetes.node_pod_prefix", size), ("regions.1.machines", listed)]
    fits: Edits = [("regions.1.node_cidr", f"10.1.0.0/{node}"), ("regions.1.pod_cidr", f"10.129.0.0/{pod}")]
    region = plan_network(stack(*edits, *fits)).region("gpu")
    assert len(region.gateways) == gateways
    for field, block, largest in (
        ("node_cidr", f"10.1.0.0/{node + 1}", node),
        ("pod_cidr", f"10.129.0.0/{pod + 1}", pod),
    ):
        said = refusal([*edits, *fits, (f"regions.1.{field}", block)])
        assert f"region gpu: {field} {block} is too small for {gateways} gateways" in said
        assert f"write a /{largest} or larger, or fewer gateways" in said


@pytest.mark.parametrize("prefix", range(20, 29))
def test_one_gateway_has_its_probe_addresses_wherever_a_machine_has_pods(prefix: int) -> None:
    alone = [{"name": "gpu-a", "node_ip": "10.1.0.2", "gateway": True}]
    edits: Edits = [("kubernetes.node_pod_prefix", prefix), ("regions.1.machines", alone)]
    pods = f"10.129.0.0/{prefix - 2}"
    fits: Edits = [("regions.1.node_cidr", "10.1.0.0/30"), ("regions.1.pod_cidr", pods)]
    region = plan_network(stack(*edits, *fits, ("regions.0.pod_cidr", "10.144.0.0/12"))).region("gpu")
    probes = probe_block(region.pod_cidr, 0)
    assert probes.subnet_of(region.pod_cidr)
    assert not probes.overlaps(region.nodes[0].pod_cidr)


def large_regions(count: int, machines: int) -> list[dict[str, Any]]:
    """The hub, and regions with four gateways on ranges in which every machine has a tile of its own."""
    regions: list[dict[str, Any]] = stack_data()["regions"][:1]
    for number in range(count):
        listed = [
            {"name": f"r{number}-{i}", "node_ip": f"10.0.{number + 1}.{i + 2}", "gateway": i < 4}
            for i in range(machines)
        ]
        region = {
            "name": f"r{number}",
            "kind": "gpu",
            "provider": {"kind": "lab", "lan": "l2"},
            "cni": "plain",
        }
        regions.append({**region, "slot": number + 1, "machines": listed})
    return regions


SMALL_PODS: Edits = [("kubernetes.node_pod_prefix", 25), ("tailnet.max_devices", 1000)]


def test_more_prefixes_than_devices_should_hold_are_refused() -> None:
    # A region of them usually has 66 prefixes and one for each machine; the hub is like them with two gateways.
    said = refusal([*SMALL_PODS, ("regions", large_regions(60, 60))])
    worst, hub = 34 + 31 * (32 + 60), 40 + 3
    total = 59 * (66 + 60) + worst + hub
    assert (
        f"the stack's devices may come to advertise {total} prefixes, {worst} of them for region r0" in said
    )
    assert "8192 at most; write fewer gateways per region" in said
    assert len(plan_network(stack(*SMALL_PODS, ("regions", large_regions(33, 60)))).regions) == 34


def test_what_every_machine_of_its_own_advertises_counts_too() -> None:
    hub = stack_data()["regions"][0] | {
        "mode": "per-node",
        "gateways": {"count": 0},
        "node_cidr": "10.0.0.0/16",
        "pod_cidr": "10.128.0.0/10",
        "node_groups": [
            {"name": f"g{number}", "count": 1000, "first_ip": f"10.0.{4 * number + 4}.0"}
            for number in range(5)
        ],
    }
    said = refusal([("regions.0", hub), ("regions.1", ...), ("kubernetes.node_pod_prefix", 26)])
    assert "may come to advertise 10002 prefixes, 10002 of them for region hub" in said
    assert "or mode: gateway for a large region" in said
