"""Claims become prefixes and prefixes claims again, on gateways whose configuration the plan writes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from agent.config import AgentConfig, ConfigError, of_this_machine, parse
from agent.core.layout import FORGET_SECONDS, Layout
from agent.ladder import MOST_NODE_TILES
from bootstrap.agent import agent_config, region_config
from config.schema import StackConfig
from network.plan import NetworkPlan, plan_network
from tests.stacks import stack_data

KEY = bytes(32)


@pytest.fixture(scope="module")
def plan() -> NetworkPlan:
    return plan_network(StackConfig.model_validate(stack_data()))


def configs(plan: NetworkPlan, region: str) -> list[AgentConfig]:
    found = plan.region(region)
    return [parse(agent_config(node, found, plan), KEY) for node in found.gateways]


def layouts(plan: NetworkPlan, region: str) -> list[Layout]:
    return [
        Layout(config.ladder, len(config.gateways), config.index, config.supernets[-1])
        for config in configs(plan, region)
        if config.ladder
    ]


def test_a_regions_file_and_a_pods_environment_say_what_a_machines_own_file_says(plan: NetworkPlan) -> None:
    for region in plan.regions:
        for node in region.nodes:
            told = {"TAILSPAN_NODE": node.name, "TAILSPAN_NODE_IP": str(node.node_ip)}
            assert parse(of_this_machine(region_config(region, plan), told), KEY) == parse(
                agent_config(node, region, plan), KEY
            )


def test_a_node_with_an_address_outside_its_region_is_told_what_to_write(plan: NetworkPlan) -> None:
    told = {"TAILSPAN_NODE": "new", "TAILSPAN_NODE_IP": "192.168.1.5"}
    with pytest.raises(ConfigError, match=r"192\.168\.1\.5; write a --node-ip inside 10\.1\.0\.0/24"):
        of_this_machine(region_config(plan.region("gpu"), plan), told)


def test_gateways_of_other_regions_are_found_in_the_tailnet_and_their_file_names_none(
    plan: NetworkPlan,
) -> None:
    mine = layouts(plan, "gpu")[0]
    for config, layout in zip(configs(plan, "hub"), layouts(plan, "hub"), strict=True):
        assert config.ladder is not None
        answers = config.ladder.probes[config.index][config.index]
        found = list(mine.elsewhere(layout.advertised({})))
        assert [(target.address, target.region) for target in found] == [(answers, "10.128.0.0")]
    assert list(mine.elsewhere(layouts(plan, "gpu")[1].advertised({}))) == []
    # A take-over's prefix of a node block may be as long, and holds nobody's address for probes.
    assert list(mine.elsewhere(["10.0.0.4/30"])) == []
    # Of somebody else's device in the same tailnet, or none at all.
    assert list(mine.elsewhere(["192.168.0.4/30", "10.128.0.0/30", "10.128.0.24/30", "fd00::/30"])) == []


def receiver(advertised: list[frozenset[str]], address: str) -> int:
    """Whom the others send to: the owner of the longest prefix."""
    found = [
        (IPv4Network(prefix).prefixlen, number)
        for number, prefixes in enumerate(advertised)
        for prefix in prefixes
        if IPv4Address(address) in IPv4Network(prefix)
    ]
    longest = max(length for length, _ in found)
    owners = [number for length, number in found if length == longest]
    assert len(owners) == 1
    return owners[0]


def test_the_parts_that_the_plan_always_knows_are_advertised(plan: NetworkPlan) -> None:
    region = plan.region("gpu")
    for layout, gateway in zip(layouts(plan, "gpu"), region.gateways, strict=True):
        assert {str(prefix) for prefix in gateway.advertise} <= layout.advertised({})


@pytest.mark.parametrize("claims", [{}, {(0, 1): 1}, {(0, 1): 2}, {(1, 0): 1, (0, 1): 1}])
def test_claims_are_read_back_from_what_is_advertised(
    plan: NetworkPlan, claims: dict[tuple[int, ...], int]
) -> None:
    for layout in layouts(plan, "gpu"):
        home = {order: 0 for order in layout.orders if order[0] == layout.me}
        assert layout.rungs(layout.advertised(claims)) == home | claims


def test_a_gateway_receives_its_own_pods_and_a_survivor_receives_all(plan: NetworkPlan) -> None:
    one, other = layouts(plan, "gpu")
    advertised = [one.advertised({}), other.advertised({})]
    assert receiver(advertised, "10.129.10.7") == 0  # gpu-a, the first gateway
    assert receiver(advertised, "10.129.11.7") == 1  # gpu-b, the second
    survivor = [one.advertised({}), other.advertised({(0, 1): 1})]
    for address in ("10.129.10.7", "10.129.11.7", "10.129.200.9", "10.1.0.10", "10.1.0.12"):
        assert receiver(survivor, address) == 1


def test_a_node_that_is_heard_gets_a_tile_and_loses_it_long_after(plan: NetworkPlan) -> None:
    one, other = layouts(plan, "gpu")
    for layout in (one, other):
        assert "10.129.12.0/24" not in layout.advertised({})
        layout.populate("10.129.12.0/24", 100.0, heard=True)
    assert ["10.129.12.0/24" in layout.advertised({}) for layout in (one, other)] == [True, False]
    # The survivor goes deeper for exactly what is there.
    assert "10.129.12.0/25" in other.advertised({(0, 1): 1})
    one.forget(100.0 + FORGET_SECONDS)
    assert "10.129.12.0/24" in one.advertised({})
    one.forget(101.0 + FORGET_SECONDS)
    assert "10.129.12.0/24" not in one.advertised({})


def test_more_nodes_than_tiles_are_shared_by_the_parts(plan: NetworkPlan) -> None:
    layout = layouts(plan, "hub")[0]
    before = len(layout.advertised({}))
    for host in range(256):
        layout.populate(f"10.128.{host}.0/24", 0.0, heard=True)
    assert len(layout.advertised({})) <= before + MOST_NODE_TILES


def test_other_peoples_prefixes_and_probe_addresses_are_no_claims(plan: NetworkPlan) -> None:
    layout = layouts(plan, "gpu")[0]
    assert layout.rungs(["192.168.0.0/24", "0.0.0.0/0", "fd00::/8", *layout.probe_blocks]) == {}
    assert [layout.ours(prefix) for prefix in ("10.129.4.0/24", "192.168.0.0/24", "fd00::/8")] == [
        True,
        False,
        False,
    ]


def test_a_single_gateway_advertises_its_ranges_and_its_probe_addresses(plan: NetworkPlan) -> None:
    config = configs(plan, "gpu")[0]
    assert config.ladder is not None
    layout = Layout(config.ladder, 1, 0)
    assert layout.advertised({}) == {"10.1.0.0/24", "10.129.0.0/16", "10.129.0.4/30"}
    assert layout.orders == ()
