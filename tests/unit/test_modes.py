"""`mode: per-node`: every machine a device that advertises itself, and nothing else."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from network.plan import NetworkPlan, NetworkPlanError, plan_network
from tests.stacks import HOST_KEY, ssh_region, stack, stack_data


def per_node(**changes: Any) -> dict[str, Any]:
    """Two machines of somebody's, each at a public address of its own."""
    machines = [
        {"name": "tx-a", "node_ip": "10.3.0.10", "address": "198.51.100.7", "host_key": HOST_KEY},
        {"name": "tx-b", "node_ip": "10.3.0.11", "address": "198.51.100.8", "host_key": HOST_KEY},
    ]
    return ssh_region(**({"mode": "per-node", "machines": machines} | changes))


def planned(*edits: tuple[str, Any], **changes: Any) -> NetworkPlan:
    return plan_network(stack(("regions.2", per_node(**changes)), *edits))


def problems(*edits: tuple[str, Any], **changes: Any) -> str:
    with pytest.raises(NetworkPlanError) as refused:
        planned(*edits, **changes)
    assert all(";" in problem for problem in refused.value.problems), refused.value.problems
    return "\n".join(refused.value.problems)


def test_every_machine_advertises_its_own_address_and_its_own_pods_and_nothing_else() -> None:
    region = planned().region("tx")
    assert {node.name: node.advertise for node in region.nodes} == {
        "tx-a": (IPv4Network("10.3.0.10/32"), IPv4Network("10.131.10.0/24")),
        "tx-b": (IPv4Network("10.3.0.11/32"), IPv4Network("10.131.11.0/24")),
    }
    assert all(node.device for node in region.nodes)
    assert region.gateways == ()
    assert region.next_hop is None
    assert region.reach == "tailnet"


def test_in_gateway_mode_only_the_gateways_are_devices() -> None:
    plan = planned()
    for region in (plan.region("hub"), plan.region("gpu")):
        assert region.devices == region.gateways
        assert region.mode == "gateway"
        assert region.next_hop == region.gateways[0].node_ip


def test_devices_are_the_gateways_and_every_machine_of_a_per_node_region() -> None:
    assert planned().devices == 2 + 2 + 2


def test_the_hub_may_be_per_node() -> None:
    groups = [{"name": "cpu", "count": 2, "first_ip": "10.0.0.40"}]
    plan = planned(
        ("regions.0.mode", "per-node"), ("regions.0.gateways", ...), ("regions.0.node_groups", groups)
    )
    assert [str(node.advertise[0]) for node in plan.hub.devices] == [
        "10.0.0.10/32",
        "10.0.0.40/32",
        "10.0.0.41/32",
    ]


def test_the_device_limit_counts_every_machine_and_names_the_way_out() -> None:
    planned(("tailnet.max_devices", 6))
    text = problems(("tailnet.max_devices", 5))
    assert "max_devices is 5, the stack has 6 devices: 4 gateways, and every machine of tx (2)" in text
    assert "write mode: gateway for region tx, or the limit of a larger plan" in text


def test_a_gateway_has_no_place_in_a_per_node_region() -> None:
    machines = per_node()["machines"]
    machines[0] |= {"gateway": True}
    assert "region tx, machine tx-a: gateway: true in a region with mode: per-node" in problems(
        machines=machines
    )


def test_a_per_node_hub_counts_no_gateways() -> None:
    assert "region hub: gateways.count is 2 with mode: per-node" in problems(("regions.0.mode", "per-node"))


def test_a_device_that_nobody_can_reach_is_refused() -> None:
    machines = per_node()["machines"]
    del machines[1]["address"]
    machines[1]["jump"] = "tx-a"
    text = problems(machines=machines)
    assert "region tx, machine tx-b: is a device of its own (mode: per-node) without an address" in text


def behind_a_jump_host(**changes: Any) -> dict[str, Any]:
    machines = per_node()["machines"]
    del machines[1]["address"]
    machines[1] |= {"jump": "tx-a"} | changes
    return {"machines": machines, "no_inbound": "the hub can be dialled, and this region dials it"}


def test_a_device_without_an_address_needs_a_reason_and_a_lan_to_its_jump_host() -> None:
    assert len(planned(**behind_a_jump_host()).region("tx").devices) == 2
    lonely = {"provider": {"kind": "ssh", "lan": "none"}}
    assert "tx-b: has no address, and with lan: none" in problems(**behind_a_jump_host(), **lonely)


def test_on_a_fenced_lan_ssh_has_its_own_port() -> None:
    assert "tx-b: is reached through tx-a at port 2222" in problems(**behind_a_jump_host(port=2222))


def test_cilium_on_every_device_is_refused() -> None:
    assert "region tx: cni cilium with mode: per-node" in problems(cni="cilium")


@pytest.mark.parametrize("machines", [1, 2])
def test_machines_without_a_lan_need_per_node_unless_there_is_only_one(machines: int) -> None:
    lonely = {"provider": {"kind": "ssh", "lan": "none"}}
    listed = per_node()["machines"][:machines]
    assert planned(**lonely, machines=listed).region("tx").reach == "tailnet"
    listed[0] |= {"gateway": True}
    if machines == 1:
        assert len(planned(**lonely, machines=listed, mode="gateway").region("tx").gateways) == 1
    else:
        text = problems(**lonely, machines=listed, mode="gateway")
        assert "region tx: lan: none with mode: gateway" in text


def test_a_machine_more_moves_no_other() -> None:
    machines = per_node()["machines"]
    before = planned(machines=machines[:1]).region("tx").nodes
    assert planned(machines=machines[::-1]).region("tx").nodes[:1] == before


def test_a_region_says_nothing_of_its_mode_and_is_one_with_gateways() -> None:
    assert "mode" not in stack_data()["regions"][0]
    assert {region.mode for region in plan_network(stack()).regions} == {"gateway"}
