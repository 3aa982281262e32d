"""The regions' networks: the lab's own routers, NAT and firewalls, and a machine's cable into them."""

from __future__ import annotations

from ipaddress import IPv4Network

from lab import addresses, lxc, net
from lab.records import MachineRecord, NetworkRecord, Records
from lab.rig.machines import Machine
from lab.shell import inside, ip_batch, run
from lab.specs import MachineSpec, NetworkSpec, Rule
from network.plan import NetworkPlan, NodePlan, RegionPlan

# The router that a region's traffic passes; faults of the network are injected there.
CABLE = "eth0"


def records_of(plan: NetworkPlan) -> Records:
    """The plan as the lab would have it on record after `up`; every gateway has a public address."""
    records = Records()
    for region in plan.regions:
        spec = NetworkSpec(
            name=region.name, cidr=region.node_cidr, lan="l2" if region.reach == "lan" else "routed"
        )
        opened = tuple(
            Rule(protocol=rule.protocol, port=rule.port, source=IPv4Network(rule.source))
            for rule in region.gateway_firewall
        )
        records.networks[region.name] = NetworkRecord(
            spec=spec, public_ip=records.hand_out_public_ip(), firewalls={"gateways": opened}
        )
        for node in region.nodes:
            records.machines[node.name] = _machine(node, records)
    return records


def _machine(node: NodePlan, records: Records) -> MachineRecord:
    public = records.hand_out_public_ip() if node.role == "gateway" else None
    return MachineRecord(
        spec=MachineSpec(
            name=node.name,
            network=node.region,
            role=node.role,
            node_ip=node.node_ip,
            pod_cidr=node.pod_cidr,
            public=public is not None,
        ),
        public_ip=public,
        ssh_host=public or records.network(node.region).public_ip,
        ssh_port=22 if public else records.free_ssh_port(node.region),
    )


def publish(records: Records, node: NodePlan) -> None:
    """A plain machine gets what a gateway has, a public address and its openings, as each has in per-node mode."""
    record, address = records.machine(node.name), records.hand_out_public_ip()
    spec = record.spec.model_copy(update={"role": "gateway", "public": True})
    records.machines[node.name] = record.model_copy(
        update={"spec": spec, "public_ip": address, "ssh_host": address, "ssh_port": 22}
    )
    net.apply(records, node.region)


def create(records: Records) -> None:
    net.create_internet()
    for name, network in records.networks.items():
        net.create_router(network)
        net.apply(records, name)


def connect(machine: Machine, records: Records) -> None:
    """Plugs the machine's cable in: a veth pair, the same addresses after every boot."""
    record = records.machine(machine.name)
    spec, network = record.spec, records.network(record.spec.network)
    router, port = addresses.namespace(spec.network), addresses.machine_port(spec.node_ip)
    gateway = addresses.router_address(network.spec.cidr)
    length = network.spec.cidr.prefixlen if network.spec.lan == "l2" else 32
    # The link of a machine that was just cut off power may still be there for a moment.
    net.delete_link(port, router)
    ip_batch([f"link add {port} type veth peer name {CABLE} netns {machine.pid}"], router)
    machine.run(
        *("ip", "-batch", "-"),
        stdin=f"link set {CABLE} address {addresses.machine_mac(spec.node_ip)}\n"
        f"addr add {spec.node_ip}/{length} dev {CABLE}\n"
        f"link set {CABLE} up\n"
        f"route add default via {gateway} dev {CABLE} onlink\n",
    )
    run([*inside(router), "sh", "-c", lxc.attach_script(record, network.spec)])


def router_of(region: RegionPlan | str) -> str:
    """The namespace of a region's router."""
    return addresses.namespace(region if isinstance(region, str) else region.name)
