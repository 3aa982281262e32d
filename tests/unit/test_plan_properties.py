"""Generated stacks: a plan passes a second opinion or is refused; edits move nobody else."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.schema import StackConfig
from network.plan import NetworkPlanError, RegionPlan, plan_network
from tests.stacks import stack_data
from tests.unit.plan_checker import faults

BASE_NODE, BASE_POD = 10 << 24, (10 << 24) + (128 << 16)


def gpu_region(
    number: int, slot: int, hosts: list[int], gateways: int, node_prefix: int = 24
) -> dict[str, Any]:
    """Region `number` on slot `slot` of both supernets; the first machines are its gateways."""
    size = 32 - node_prefix
    network = BASE_NODE + (slot << 16) >> size << size
    return {
        "name": f"gpu{number}",
        "kind": "gpu",
        "provider": {"kind": "lab", "lan": "l2"},
        "node_cidr": f"{dotted(network)}/{node_prefix}",
        "pod_cidr": f"{dotted(BASE_POD + (slot << 16))}/16",
        "cni": "plain",
        "machines": [
            {"name": f"gpu{number}-{host}", "node_ip": dotted(network + host), "gateway": i < gateways}
            for i, host in enumerate(hosts)
        ],
    }


def dotted(address: int) -> str:
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))


def config(regions: list[dict[str, Any]], **tailnet: Any) -> StackConfig:
    data = stack_data()
    data["regions"] = data["regions"][:1] + regions
    data["tailnet"] |= tailnet
    return StackConfig.model_validate(data)


@st.composite
def sound_regions(draw: st.DrawFn) -> list[dict[str, Any]]:
    slots = draw(st.lists(st.integers(1, 90), min_size=2, max_size=5, unique=True))
    regions = []
    for number, slot in enumerate(slots):
        hosts = draw(st.lists(st.integers(2, 254), min_size=2, max_size=6, unique=True))
        regions.append(gpu_region(number, slot, hosts, draw(st.integers(1, min(4, len(hosts))))))
    return regions


@st.composite
def any_regions(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Mostly wrong ones: ranges collide, hosts repeat or leave their range, gateways are missing."""
    regions = []
    for number in range(draw(st.integers(0, 4))):
        hosts = draw(st.lists(st.integers(0, 300), max_size=6))
        region = gpu_region(
            draw(st.integers(0, 5)) if draw(st.booleans()) else number,
            draw(st.integers(0, 120)),
            hosts,
            draw(st.integers(0, 5)),
            node_prefix=draw(st.integers(22, 31)),
        )
        slot = draw(st.integers(0, 40)) * 64 % 256
        region["pod_cidr"] = f"10.{128 + slot % 128}.0.0/{draw(st.integers(9, 26))}"
        try:
            config([region])
        except ValueError:
            region["pod_cidr"] = "10.200.0.0/16"  # host bits are the schema's business
        regions.append(region)
    return regions


@settings(max_examples=100, deadline=None)
@given(
    regions=any_regions(),
    devices=st.integers(1, 12),
    version=st.sampled_from(["1.84.3", "1.98.10", "1.102.3"]),
)
def test_a_plan_passes_a_second_opinion_or_is_refused(
    regions: list[dict[str, Any]], devices: int, version: str
) -> None:
    try:
        found = faults(plan_network(config(regions, max_devices=devices, version=version)))
    except NetworkPlanError as error:
        found = [f"no remedy in: {problem}" for problem in error.problems or ("",) if ";" not in problem]
    assert found == []


@settings(max_examples=100, deadline=None)
@given(regions=sound_regions())
def test_a_sound_stack_is_planned_and_passes_a_second_opinion(regions: list[dict[str, Any]]) -> None:
    assert faults(plan_network(config(regions))) == []


@settings(max_examples=100, deadline=None)
@given(regions=sound_regions(), seed=st.integers(0, 2**16))
def test_removing_adding_or_reordering_regions_moves_no_other(
    regions: list[dict[str, Any]], seed: int
) -> None:
    before = by_name(regions)
    left = regions[1:]
    random.Random(seed).shuffle(left)
    assert by_name(left) == {name: region for name, region in before.items() if name != regions[0]["name"]}


@settings(max_examples=100, deadline=None)
@given(regions=sound_regions(), seed=st.integers(0, 2**16))
def test_removing_adding_or_reordering_machines_moves_no_other(
    regions: list[dict[str, Any]], seed: int
) -> None:
    before = {node.name: node for region in by_name(regions).values() for node in region.nodes}
    gone = regions[0]["machines"][-1]
    if not gone["gateway"]:
        regions[0]["machines"].remove(gone)
        before.pop(gone["name"])
    for region in regions:
        random.Random(seed).shuffle(region["machines"])
    assert {node.name: node for region in by_name(regions).values() for node in region.nodes} == before


def by_name(regions: list[dict[str, Any]]) -> dict[str, RegionPlan]:
    return {region.name: region for region in plan_network(config(regions)).regions}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"node_cidr": "10.0.0.0/24"}, "two ranges share addresses"),
        ({"pod_cidr": "10.130.0.0/16"}, "a node's pods are outside the pod range"),
        ({"nodes": ()}, "no gateway, or too many"),
    ],
)
def test_the_second_opinion_finds_faults(change: dict[str, Any], fault: str) -> None:
    plan = plan_network(config([gpu_region(1, 1, [10, 11], 2)]))
    values: dict[str, Any] = {
        key: IPv4Network(value) if isinstance(value, str) else value for key, value in change.items()
    }
    bent = replace(plan, regions=(plan.regions[0], replace(plan.regions[1], **values)))
    assert any(fault in line for line in faults(bent))
