"""The tailnet's policy: who may advertise what, and what a GPU region can reach in the hub."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from agent.config import parse
from agent.core.layout import Layout
from agent.ladder import deepest_rung
from bootstrap.agent import agent_config
from config.schema import StackConfig
from network.plan import NetworkPlan, plan_network
from network.tailnet_policy import tailnet_policy
from tests.stacks import ROOT, STACK_FILES, stack, stack_data


@pytest.fixture
def plan() -> NetworkPlan:
    """A hub and two GPU regions."""
    return plan_network(StackConfig.model_validate(stack_data(STACK_FILES[-1])))


@pytest.fixture
def policy(plan: NetworkPlan) -> dict[str, Any]:
    return tailnet_policy(plan)


def allowed(policy: dict[str, Any], source: IPv4Network | str, target: IPv4Network | str) -> set[str]:
    """What a source may send to a target, by every grant that names both."""
    return {
        item
        for grant in policy["grants"]
        for item in grant["ip"]
        if _names(grant["src"], str(source)) and _names(grant["dst"], str(target))
    }


def _names(subjects: list[str], wanted: str) -> bool:
    """A subject names itself, and a range everything inside it."""
    if wanted.startswith("tag:") or wanted in subjects:
        return wanted in subjects
    ranges = [IPv4Network(subject) for subject in subjects if subject[0].isdigit()]
    return any(IPv4Network(wanted).subnet_of(outer) for outer in ranges)


def test_a_tag_may_advertise_its_own_region_only(plan: NetworkPlan, policy: dict[str, Any]) -> None:
    routes = policy["autoApprovers"]["routes"]
    assert routes == {
        str(cidr): [region.tag] for region in plan.regions for cidr in (region.node_cidr, region.pod_cidr)
    }


def test_every_advertised_prefix_is_approved_for_its_gateway(
    plan: NetworkPlan, policy: dict[str, Any]
) -> None:
    routes = {IPv4Network(cidr): tags for cidr, tags in policy["autoApprovers"]["routes"].items()}
    for region in plan.regions:
        for prefix in (prefix for gateway in region.gateways for prefix in gateway.advertise):
            assert [tags for cidr, tags in routes.items() if prefix.subnet_of(cidr)] == [[region.tag]]


def test_whatever_a_gateway_may_come_to_advertise_is_approved_for_it(
    plan: NetworkPlan, policy: dict[str, Any]
) -> None:
    """Tiles, the parts that a take-over cuts them into, addresses for probes: all lie inside approved ranges."""
    routes = {IPv4Network(cidr): tags for cidr, tags in policy["autoApprovers"]["routes"].items()}
    for region in plan.regions:
        for gateway in region.gateways:
            config = parse(agent_config(gateway, region, plan), bytes(32))
            assert config.ladder is not None
            layout = Layout(config.ladder, len(region.gateways), config.index)
            for node in region.nodes:
                layout.populate(str(node.pod_cidr), 0.0, heard=True)
            assert layout.probe_blocks[config.index] in layout.advertised({})
            for rung in range(deepest_rung(len(region.gateways)) + 1):
                for prefix in map(IPv4Network, layout.advertised(dict.fromkeys(layout.orders, rung))):
                    assert [tags for cidr, tags in routes.items() if prefix.subnet_of(cidr)] == [[region.tag]]


def test_pods_reach_pods_everywhere(plan: NetworkPlan, policy: dict[str, Any]) -> None:
    for source in plan.regions:
        for target in plan.regions:
            assert allowed(policy, source.pod_cidr, target.pod_cidr) == {"*"}


def test_a_gpu_region_reaches_hub_nodes_at_the_api_server_only(
    plan: NetworkPlan, policy: dict[str, Any]
) -> None:
    for region in plan.regions:
        if region.kind == "gpu":
            assert allowed(policy, region.node_cidr, plan.hub.node_cidr) == {"tcp:6443", "icmp:*"}
            assert allowed(policy, region.pod_cidr, plan.hub.node_cidr) == {"tcp:6443", "icmp:*"}


def test_the_hub_reaches_every_node_and_pod(plan: NetworkPlan, policy: dict[str, Any]) -> None:
    for region in plan.regions:
        if region.kind == "gpu":
            assert "*" in allowed(policy, plan.hub.node_cidr, region.node_cidr)
            assert "*" in allowed(policy, plan.hub.node_cidr, region.pod_cidr)


def test_gpu_nodes_of_different_regions_only_ping_each_other(policy: dict[str, Any]) -> None:
    assert allowed(policy, "10.1.0.0/24", "10.2.0.0/24") == {"icmp:*"}
    assert allowed(policy, "10.129.0.0/16", "10.2.0.0/24") == set()


def test_gateways_talk_tag_to_tag_at_the_agents_port(policy: dict[str, Any]) -> None:
    assert allowed(policy, "tag:tailspan-gpu", "tag:tailspan-hub") == {"icmp:*", "udp:41642", "tcp:41642"}


def test_machines_of_a_per_node_region_reach_each_other_at_every_port_and_nobody_elses() -> None:
    regions = stack_data(ROOT / "examples" / "Pulumi.per-node.yaml")["regions"]
    policy = tailnet_policy(plan_network(stack(("regions.2", regions[-1]))))
    for source in ("10.4.0.0/24", "10.132.0.0/16"):
        assert "*" in allowed(policy, source, "10.4.0.0/24")
        assert allowed(policy, source, "10.0.0.0/24") == {"tcp:6443", "icmp:*"}
    assert allowed(policy, "10.4.0.0/24", "10.1.0.0/24") == {"icmp:*"}
    assert allowed(policy, "10.1.0.0/24", "10.4.0.0/24") == {"icmp:*"}
    # In gateway mode such traffic stays on the LAN, and the tailnet lets none of it through.
    assert allowed(policy, "10.129.0.0/16", "10.1.0.0/24") == set()


def test_no_grant_names_everyone(policy: dict[str, Any]) -> None:
    for grant in policy["grants"]:
        assert "*" not in grant["src"] + grant["dst"]


def test_grants_do_not_depend_on_the_regions_but_for_their_tags(
    plan: NetworkPlan, policy: dict[str, Any]
) -> None:
    """So a region that is being removed keeps its connections until its last machine has left."""
    alone = tailnet_policy(plan_network(stack(("regions.1", ...))))
    assert alone["grants"][1:] == policy["grants"][1:]


@pytest.mark.parametrize(
    ("tailnet", "owner"),
    [
        ({"kind": "headscale", "url": "https://hs.example.com", "version": "1.102.3"}, "tailspan@"),
        ({"kind": "tailscale", "name": "example.com", "version": "1.102.3"}, "autogroup:admin"),
    ],
)
def test_tags_belong_to_those_who_administer_the_tailnet(tailnet: dict[str, Any], owner: str) -> None:
    policy = tailnet_policy(plan_network(stack(("tailnet", tailnet))))
    assert policy["tagOwners"] == {"tag:tailspan-hub": [owner], "tag:tailspan-gpu": [owner]}
