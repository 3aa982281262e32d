"""A machine's routes, rules and packet filter, for each role and each way to its gateways."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from syrupy.assertion import SnapshotAssertion

from bootstrap.fence import POD_DEVICES
from bootstrap.hostnetwork import network_env, nftables
from config.schema import GcpProvider, StackConfig
from network.plan import NetworkPlan, NodePlan, RegionPlan, plan_network
from tests.stacks import put, stack_data

GCP = {"kind": "gcp", "project": "acme-ml", "region": "us-central1", "zone": "us-central1-a"}
Place = tuple[NodePlan, RegionPlan, NetworkPlan]
PLACES = (
    "control-plane lan",
    "control-plane tunnel",
    "gateway lan",
    "gateway tunnel",
    "gateway alone",
    "worker lan",
    "worker tunnel",
)


def place(what: str) -> Place:
    """A node of that role in the dev stack, where every region has that kind of LAN."""
    role, reach = what.split()
    data = stack_data()
    if reach == "tunnel":
        for region in data["regions"]:
            region["provider"]["lan"] = "routed"
    if reach == "alone":
        put(data, "regions.1.machines", data["regions"][1]["machines"][:1])
    plan = plan_network(StackConfig.model_validate(data))
    region = plan.hub if role == "control-plane" else plan.region("gpu")
    return next(node for node in region.nodes if node.role == role), region, plan


def variables(what: str) -> dict[str, str]:
    return dict(
        re.findall(r"^(\w+)='(.*)'$", network_env(*place(what), "api.dev.tailspan.internal"), re.MULTILINE)
    )


@pytest.mark.parametrize("what", PLACES)
def test_network_env_is_as_reviewed(what: str, snapshot: SnapshotAssertion) -> None:
    assert network_env(*place(what), "api.dev.tailspan.internal") == snapshot


@pytest.mark.parametrize("what", PLACES)
def test_the_packet_filter_is_as_reviewed(what: str, snapshot: SnapshotAssertion) -> None:
    assert nftables(*place(what)) == snapshot


@pytest.mark.parametrize("what", PLACES)
def test_the_packet_filter_replaces_its_own_table_and_touches_no_other(what: str) -> None:
    text = nftables(*place(what))
    assert text.startswith("table inet tailspan\ndelete table inet tailspan\ntable inet tailspan {\n")
    assert set(re.findall(r"table inet (\w+)", text)) == {"tailspan"}
    assert text.count("{") == text.count("}")
    assert "flush ruleset" not in text


@pytest.mark.parametrize("what", PLACES)
def test_pods_keep_their_addresses_inside_the_cluster(what: str) -> None:
    node, _, plan = place(what)
    rule = next(line for line in nftables(node, _, plan).splitlines() if "masquerade" in line)
    assert f"ip saddr {node.pod_cidr} ip daddr != " in rule
    assert str(plan.node_supernet) in rule
    assert str(plan.pod_supernet) in rule


@pytest.mark.parametrize("what", [what for what in PLACES if not what.startswith("gateway")])
def test_a_machine_that_is_no_gateway_tracks_and_clamps_nothing(what: str) -> None:
    text = nftables(*place(what))
    assert "notrack" not in text
    assert "tailscale0" not in text


@pytest.mark.parametrize("what", [what for what in PLACES if what.startswith("gateway")])
def test_a_gateway_clamps_both_directions_to_the_plans_mss(what: str) -> None:
    node, region, plan = place(what)
    text = nftables(node, region, plan)
    clamps = re.findall(r'([io]ifname) "tailscale0" tcp flags .* tcp option maxseg size set (\d+)', text)
    assert sorted(clamps) == [("iifname", str(plan.mss)), ("oifname", str(plan.mss))]


def test_a_gateways_own_packets_carry_its_node_ip() -> None:
    node, _, _ = place("gateway lan")
    assert (
        f"ip saddr 100.64.0.0/10 ip daddr {{ 10.0.0.0/9, 10.128.0.0/9 }} snat ip to {node.node_ip}"
        in nftables(*place("gateway lan"))
    )


def test_transit_is_untracked_but_what_this_machine_translates_is_not() -> None:
    node, region, plan = place("gateway lan")
    text = nftables(node, region, plan)
    transit = text[text.index("chain transit") : text.index("notrack")]
    assert "fib daddr type local return" in transit
    assert f"ip daddr {node.pod_cidr} return" in transit
    assert f"ip saddr {node.pod_cidr} return" in transit
    # A Service's address is translated here: kube-proxy needs the connection tracked.
    untracked = text[text.index("chain untracked") : text.index("chain transit")]
    assert f"ip daddr != {{ {region.node_cidr}, {region.pod_cidr}, {plan.service_cidr} }}" in untracked


def test_tailscale_finds_no_endpoint_inside_the_pod_network() -> None:
    text = nftables(*place("gateway lan"))
    for device in POD_DEVICES:
        assert f'oifname "{device}" udp sport 41641 drop' in text
        assert f'iifname "{device}" udp dport 41641 drop' in text
    assert "tailspan0" in POD_DEVICES


@pytest.mark.parametrize("what", PLACES)
def test_nodes_route_the_supernets_so_that_a_new_region_changes_nothing(what: str) -> None:
    node, region, plan = place(what)
    assert variables(what)["SUPERNETS"].split() == [str(plan.node_supernet), str(plan.pod_supernet)]
    assert IPv4Network(variables(what)["NODE_CIDR"]).supernet_of(IPv4Network(f"{node.node_ip}/32"))
    assert variables(what)["NEXT_HOP"] == str(region.gateways[0].node_ip)


def test_machines_of_one_lan_reach_each_others_pods_directly() -> None:
    assert variables("worker lan")["PEERS"].split() == [
        "10.1.0.10=10.129.10.0/24",
        "10.1.0.11=10.129.11.0/24",
    ]
    # On a routed LAN the network has these routes.
    assert variables("worker tunnel")["PEERS"] == ""


def test_a_machine_alone_says_so() -> None:
    assert variables("gateway alone")["ALONE"] == "yes"
    assert {variables(what)["ALONE"] for what in PLACES if "alone" not in what} == {"no"}


@pytest.mark.parametrize("what", PLACES)
def test_pods_get_names_of_the_metadata_service_and_nothing_else(what: str) -> None:
    """What is forwarded comes from pods, this machine's or others'; what the machine itself asks is output."""
    text = nftables(*place(what))
    chain = text[text.index("chain metadata") :].split("}", 1)[0]
    assert "type filter hook forward" in chain
    rules = re.findall(r"ip daddr 169\.254\.169\.254 (.+)$", chain, re.MULTILINE)
    assert rules == ["udp dport 53 accept", "tcp dport 53 accept", "drop"]
    assert "169.254.169.254" not in text.replace(chain, "")


def test_only_a_load_balancers_probes_reach_the_port_of_health() -> None:
    node, region, plan = place("gateway tunnel")
    assert "41644" not in nftables(node, region, plan)
    asked = replace(region, health_sources=GcpProvider.model_validate(GCP).health_sources)
    rule = 'iifname != "lo" tcp dport 41644 ip saddr != { 35.191.0.0/16, 130.211.0.0/22 } drop'
    assert rule in nftables(node, asked, plan)
    worker = next(node for node in region.nodes if node.role == "worker")
    assert "41644" not in nftables(worker, asked, plan)
