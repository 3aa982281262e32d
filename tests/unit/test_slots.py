"""Slots: a number per region stands for its ranges, and nothing else can move them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from config.problems import stack_problems
from config.schema import StackConfig
from network.plan import plan_network
from tests.stacks import complaints, put, stack, stack_data

Edits = list[tuple[str, Any]]


def region(slot: int) -> dict[str, Any]:
    return {
        "name": f"s{slot}",
        "kind": "gpu",
        "provider": {"kind": "lab", "lan": "l2"},
        "cni": "plain",
        "slot": slot,
        "machines": [{"name": f"s{slot}-a", "node_ip": f"10.0.{slot}.10", "gateway": True}],
    }


def ranges(regions: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    hub = stack_data()["regions"][0]
    plan = plan_network(StackConfig.model_validate(put(stack_data(), "regions", [hub, *regions])))
    return {item.name: (str(item.node_cidr), str(item.pod_cidr)) for item in plan.regions}


def test_a_slot_stands_for_one_range_in_each_supernet() -> None:
    assert ranges([region(3)])["s3"] == ("10.0.3.0/24", "10.131.0.0/16")


def test_the_ranges_of_slots_have_the_size_that_the_cluster_says() -> None:
    edits: Edits = [
        ("kubernetes.slots", {"node_prefix": 22, "pod_prefix": 14}),
        ("regions.1.slot", 2),
        ("regions.1.node_cidr", ...),
        ("regions.1.pod_cidr", ...),
    ]
    gpu = stack(*edits).regions[1]
    assert (str(gpu.node_cidr), str(gpu.pod_cidr)) == ("10.0.8.0/22", "10.136.0.0/14")


def test_adding_removing_and_reordering_regions_moves_no_other() -> None:
    before = ranges([region(slot) for slot in (9, 2, 5, 7)])
    left = [region(slot) for slot in (5, 100, 9, 2)]
    random.Random(1).shuffle(left)
    after = ranges(left)
    assert {name: after[name] for name in ("s9", "s2", "s5")} == {
        name: before[name] for name in ("s9", "s2", "s5")
    }


def test_a_slot_and_the_ranges_that_it_stands_for_may_be_written_together() -> None:
    both = region(3) | {"node_cidr": "10.0.3.0/24", "pod_cidr": "10.131.0.0/16"}
    assert ranges([both])["s3"] == ranges([region(3)])["s3"]


PLACE = "tailspan:stack.regions[1].slot: got"
RANGELESS: Edits = [("regions.1.node_cidr", ...), ("regions.1.pod_cidr", ...)]


@pytest.mark.parametrize(
    ("edits", "remedy"),
    [
        (
            [("regions.1.slot", 3)],
            f"{PLACE} 3: stands for node_cidr 10.0.3.0/24, but node_cidr 10.1.0.0/24 is written, too; write one of "
            "the two: slot: 3, or node_cidr and pod_cidr",
        ),
        (
            [*RANGELESS, ("regions.1.slot", 128)],
            f"{PLACE} 128: does not exist, kubernetes.pod_supernet 10.128.0.0/9 holds 128 ranges of /16; write a slot "
            "from 0 to 127, or a larger pod_supernet or a longer kubernetes.slots.pod_prefix",
        ),
        (
            [*RANGELESS, ("regions.1.slot", 0), ("kubernetes.slots", {"node_prefix": 8})],
            "kubernetes.node_supernet 10.0.0.0/9 holds 0 ranges of /8; write a larger node_supernet or a longer",
        ),
        (
            [*RANGELESS, ("regions.1.slot", -1)],
            "got -1: input should be greater than or equal to 0; write slot: 3",
        ),
        ([*RANGELESS, ("regions.1.slot", "three")], 'got "three"'),
        (
            RANGELESS,
            "regions[1].node_cidr: is missing; write node_cidr: 10.1.0.0/24, for example, or slot: 3",
        ),
    ],
)
def test_an_impossible_slot_is_answered_with_its_remedy(edits: Edits, remedy: str) -> None:
    assert remedy in complaints(*edits)


@pytest.mark.parametrize("slot", [500, -1, "three"])
def test_a_wrong_slot_is_one_line_and_hides_no_other_problem(slot: Any) -> None:
    said = complaints(*RANGELESS, ("regions.1.slot", slot), ("regions.1.cni", "calico"))
    assert len(said.splitlines()) == 2


def test_a_wrong_cluster_part_makes_no_slot_wrong() -> None:
    data = put(put(stack_data(), "regions.1", region(3)), "kubernetes.version", "1.33")
    assert len(stack_problems(data, "f")[1]) == 1
