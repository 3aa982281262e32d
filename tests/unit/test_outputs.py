"""What a stack exports, and which changes of its addresses are refused."""

from __future__ import annotations

from typing import Any

import pytest

from network.plan import plan_network
from outputs import address_map, gateway_links, moved_addresses
from tests.stacks import ssh_region, stack

RUNNING = address_map(plan_network(stack()))


def refusals(*edits: tuple[str, Any]) -> list[str]:
    return moved_addresses(RUNNING, address_map(plan_network(stack(*edits))))


def edited(**changes: Any) -> list[dict[str, Any]]:
    """The running map with another GPU region."""
    return [RUNNING[0], RUNNING[1] | changes]


def test_an_unchanged_stack_is_not_refused() -> None:
    assert refusals() == []
    assert moved_addresses([], RUNNING) == []


@pytest.mark.parametrize(
    ("field", "value", "before"),
    [
        ("node_cidr", "10.9.0.0/24", "10.1.0.0/24"),
        ("pod_cidr", "10.140.0.0/16", "10.129.0.0/16"),
        ("kind", "cloud", "gpu"),
        ("mode", "per-node", "gateway"),
    ],
)
def test_a_running_region_keeps_its_ranges(field: str, value: str, before: str) -> None:
    assert moved_addresses(RUNNING, edited(**{field: value})) == [
        f"region gpu: {field} is {before} on its machines, the stack file says {value}"
    ]


def test_a_stack_from_before_the_modes_runs_gateways() -> None:
    older = [{key: value for key, value in region.items() if key != "mode"} for region in RUNNING]
    assert moved_addresses(older, RUNNING) == []
    (said,) = moved_addresses(older, edited(mode="per-node"))
    assert said == "region gpu: mode is gateway on its machines, the stack file says per-node"


def test_every_change_is_named() -> None:
    assert len(moved_addresses(RUNNING, edited(node_cidr="10.9.0.0/24", pod_cidr="10.140.0.0/16"))) == 2


def test_the_cloud_region_cannot_go() -> None:
    said = "region hub: it holds the control plane and cannot be removed or renamed"
    assert moved_addresses(RUNNING, [RUNNING[1]]) == [said]
    assert moved_addresses(RUNNING, [RUNNING[0] | {"name": "center"}, RUNNING[1]]) == [said]


def test_the_control_plane_keeps_its_address() -> None:
    assert refusals(("regions.0.control_plane.first_ip", "10.0.0.11")) == [
        "machine hub-cp-1: it runs the control plane at 10.0.0.10; replacing it would lose the cluster"
    ]


def test_a_gateway_does_not_become_a_plain_node_where_it_is() -> None:
    (said,) = refusals(("regions.1.machines.1.gateway", False))
    assert said.startswith("machine gpu-b: it is a gateway of the tailnet")
    assert "remove the machine" in said
    assert refusals(("regions.1.machines.2.gateway", True)) == []


def test_the_control_plane_keeps_its_machine() -> None:
    without = [RUNNING[0] | {"nodes": RUNNING[0]["nodes"][1:]}, RUNNING[1]]
    assert "machine hub-cp-1: it runs the control plane" in moved_addresses(RUNNING, without)[0]


@pytest.mark.parametrize(
    "edits",
    [
        [("regions.1", ...)],
        [("regions.2", ssh_region())],
        [("regions.1.machines.2", ...)],
        [("regions.0.gateways.count", 3)],
    ],
    ids=["a region goes", "a region comes", "a machine goes", "a gateway comes"],
)
def test_what_a_running_cluster_can_follow_is_not_refused(edits: list[tuple[str, Any]]) -> None:
    assert refusals(*edits) == []


def test_a_group_that_was_made_of_single_machines_is_emptied_before_it_becomes_one() -> None:
    group = ("regions.0.node_groups", [{"name": "cpu", "count": 2, "first_ip": "10.0.0.40"}])
    now = address_map(plan_network(stack(group)))
    assert moved_addresses(now, now) == []
    hub = now[0] | {"nodes": [{k: v for k, v in node.items() if k != "group"} for node in now[0]["nodes"]]}
    found = moved_addresses([hub, now[1]], now)
    assert [line.split(":")[0] for line in found] == ["machine hub-cpu-1", "machine hub-cpu-2"]
    assert "write count: 0 for group cpu, run `pulumi up`, then write the old count" in found[0]
    # Emptied it is not refused.
    assert moved_addresses([hub, now[1]], RUNNING) == []


def test_a_direct_link_is_expected_between_gateways_of_different_regions() -> None:
    links = gateway_links(plan_network(stack(("regions.2", ssh_region()))))
    assert links == [
        "hub-gw-1-gpu-a",
        "hub-gw-1-gpu-b",
        "hub-gw-1-tx-a",
        "hub-gw-2-gpu-a",
        "hub-gw-2-gpu-b",
        "hub-gw-2-tx-a",
        "gpu-a-tx-a",
        "gpu-b-tx-a",
    ]


def test_a_per_node_regions_first_machines_link_to_everybody_and_to_each_other() -> None:
    machines = [{"name": f"tx-{host}", "node_ip": f"10.3.0.{host}"} for host in range(10, 17)]
    region = ssh_region(mode="per-node", machines=machines, provider={"kind": "lab", "lan": "l2"})
    links = gateway_links(plan_network(stack(("regions.1", region))))
    inside = [link for link in links if link.count("tx-") == 2]
    assert inside == [
        "tx-10-tx-11",
        "tx-10-tx-12",
        "tx-10-tx-13",
        "tx-11-tx-12",
        "tx-11-tx-13",
        "tx-12-tx-13",
    ]
    assert len(links) == len(inside) + 2 * 4
