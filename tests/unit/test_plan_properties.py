"""Generated stacks: a plan passes a second opinion or is refused with remedies; edits move nobody else.

`make fuzz` runs the same with more examples (TAILSPAN_EXAMPLES) and shows how far it is.
"""

from __future__ import annotations

import copy
import os
import random
import re
import sys
from collections import Counter
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from config.problems import stack_problems
from config.schema import StackConfig
from network.links import region_links
from network.plan import NetworkPlanError, RegionPlan, plan_network
from network.prefixes import probe_block
from network.tailnet_policy import tailnet_policy
from outputs import address_map
from tests.stacks import put, stack_data
from tests.unit.plan_checker import faults
from tests.unit.stack_strategies import sound_stacks, spoilt_stacks, stacks

# On a busy machine hundreds of examples may take minutes.
pytestmark = pytest.mark.timeout(900)

EXAMPLES = int(os.environ.get("TAILSPAN_EXAMPLES", "500"))
FEWER = max(EXAMPLES // 5, 1)
# Every line names its object first and ends with what to write.
LINE = re.compile(r"(regions?|machine|kubernetes|tailnet)\b[^:]*: .+; .+")


def few(examples: int) -> settings:
    return settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )


def exported(config: StackConfig) -> dict[str, Any]:
    """The plan as others get it: the stack's outputs, the links and the tailnet's policy."""
    plan = plan_network(config)
    regions = address_map(plan)
    for region, data in zip(plan.regions, regions, strict=True):
        probes = [probe_block(region.pod_cidr, number) for number, _ in enumerate(region.gateways)]
        data["probes"] = [str(block) for block in probes]
    return {
        "regions": regions,
        "links": [asdict(link) for link in region_links(config, plan)],
        "policy": tailnet_policy(plan),
        "devices": plan.devices,
        "max_pods": plan.max_pods,
        "mtu": plan.mtu,
    }


def verdict(data: dict[str, Any]) -> tuple[str, list[str]]:
    """Where a stack file ends, and what is wrong with that end."""
    config, problems = stack_problems(data, "f")
    if config is None:
        return "refused by the schema", [line for line in problems if ";" not in line] if problems else [
            "no reason"
        ]
    try:
        return "planned", faults(data, exported(config))
    except NetworkPlanError as error:
        wordless = [
            f"no object or no remedy in: {line}" for line in error.problems if not LINE.fullmatch(line)
        ]
        return "refused by the plan", wordless or ([] if error.problems else ["refused without a reason"])


class Split(Counter[str]):
    """How many examples ended where; a long run shows its progress."""

    def note(self, end: str) -> None:
        self[end] += 1
        if self.total() % 1000 == 0:
            print(f"{self.total()} of {EXAMPLES}: {self}", file=sys.stderr, flush=True)

    def __str__(self) -> str:
        return ", ".join(f"{count * 100 // self.total()} % {end}" for end, count in sorted(self.items()))


def test_a_plan_passes_a_second_opinion_or_is_refused_with_remedies() -> None:
    split = Split()

    @few(EXAMPLES)
    @given(data=stacks())
    def judge(data: dict[str, Any]) -> None:
        end, wrong = verdict(data)
        split.note(end)
        assert wrong == []

    judge()
    print(f"\n{split.total()} generated stacks: {split}")
    # Neither half may become a formality.
    assert split["planned"] >= 0.3 * split.total()
    assert split["refused by the plan"] >= 0.2 * split.total()


@few(FEWER)
@given(data=sound_stacks())
def test_a_sound_stack_is_planned(data: dict[str, Any]) -> None:
    assert verdict(data) == ("planned", [])


@few(EXAMPLES)
@given(data=spoilt_stacks())
def test_garbage_is_refused_in_words_or_planned(data: Any) -> None:
    config, problems = stack_problems(data, "f")
    assert (config is None) == bool(problems)
    if config is not None:
        try:
            plan_network(config)
        except NetworkPlanError as error:
            problems = error.problems
    assert all("\n" not in line for line in problems)


@few(FEWER)
@given(data=sound_stacks())
def test_removing_or_reordering_regions_and_machines_moves_no_other(data: dict[str, Any]) -> None:
    before = by_name(data)
    gone = next((region for region in data["regions"] if region["kind"] == "gpu"), None)
    left = copy.deepcopy(data)
    left["regions"] = [region for region in left["regions"] if gone is None or region["name"] != gone["name"]]
    for region in left["regions"]:
        random.Random(0).shuffle(region.get("machines", []))
    random.Random(1).shuffle(left["regions"])
    assert by_name(left) == {
        name: region for name, region in before.items() if gone is None or name != gone["name"]
    }


@few(FEWER)
@given(data=sound_stacks())
def test_removing_a_machine_moves_no_other(data: dict[str, Any]) -> None:
    before = {node.name: node for region in by_name(data).values() for node in region.nodes}
    for region in data["regions"]:
        # A gateway's going changes what its partners advertise.
        gone = [m for m in region.get("machines", []) if not m.get("gateway") and not m.get("control_plane")][
            :1
        ]
        region["machines"] = [machine for machine in region.get("machines", []) if machine not in gone]
        before = {name: node for name, node in before.items() if name not in [m["name"] for m in gone]}
    assert {node.name: node for region in by_name(data).values() for node in region.nodes} == before


def by_name(data: dict[str, Any]) -> dict[str, RegionPlan]:
    return {region.name: region for region in plan_network(StackConfig.model_validate(data)).regions}


def bend(plan: Any, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        plan = plan[int(part) if part.isdigit() else part]
    plan[int(last) if last.isdigit() else last] = value


BENT: list[tuple[str, Any, str]] = [
    ("regions.1.node_cidr", "10.0.0.0/24", "hub node_cidr and gpu node_cidr share addresses"),
    ("regions.1.pod_cidr", "10.96.0.0/16", "services share addresses"),
    ("regions.1.pod_cidr", "100.64.0.0/16", "gpu pod_cidr touches 100.64.0.0/10"),
    ("regions.1.pod_cidr", "10.130.0.0/16", "its ranges are not those of the file"),
    ("regions.1.node_cidr", "192.168.0.0/24", "a range lies outside its supernet"),
    ("regions.1.nodes", [], "no gateway, or too many"),
    ("regions.1.nodes.0.node_ip", "10.1.0.11", "two machines have one address"),
    ("regions.1.nodes.0.node_ip", "10.1.0.1", "a node IP is no host of the node range"),
    ("regions.1.nodes.0.pod_cidr", "10.129.11.0/24", "the pods of gpu-a are not where its address says"),
    ("regions.1.nodes.0.name", "gpu-b", "a node name is used twice"),
    ("regions.1.nodes.0.role", "worker", "something else than a gateway advertises"),
    ("regions.1.nodes.0.advertise", [], "gpu-a does not cover the region exactly"),
    ("regions.1.nodes.0.advertise", ["10.1.0.0/25"], "gpu-a does not cover the region exactly"),
    ("regions.1.nodes.1.advertise", ["10.1.0.0/24", "10.129.0.0/16"], "two gateways advertise the same prefix"),
    ("regions.1.nodes.1.advertise", ["10.2.0.0/24", "10.129.0.0/16"], "gpu-b advertises foreign addresses"),
    ("regions.1.nodes.1.advertise", ["10.1.0.0/30"], "no room to take over"),
    ("regions.1.nodes.1.advertise", ["10.129.0.0/27"], "no room to take over"),
    ("regions.1.probes", ["10.129.0.4/30"], "not four addresses for probes for each gateway"),
    ("regions.1.probes.1", "10.129.0.4/30", "two gateways are probed at the same addresses"),
    ("regions.1.probes.1", "10.128.0.8/30", "addresses for probes are not the region's"),
    ("regions.1.probes.1", "10.129.12.8/30", "addresses for probes are a machine's pods"),
    ("regions.1.probes.1", "10.128.0.8/30", "a prefix is not approved"),
    ("regions.1.tag", "tag:tailspan-hub", "its tag may advertise foreign addresses"),
    ("policy.autoApprovers.routes", {}, "a prefix is not approved"),
    ("policy.tagOwners", {}, "nobody owns its tag"),
    ("devices", 3, "the devices are not counted right"),
    ("max_pods", 254, "a machine may run more pods than it has addresses"),
    ("mtu", 1500, "the stack's packets have the wrong size"),
    ("links", [], "the pairs of regions are not those of the plan"),
    ("links.0.mtu", 1420, "packets between hub and gpu have the wrong size"),
    ("links.0.path", "relayed", "hub and gpu could meet"),
]  # fmt: skip


def test_the_second_opinion_knows_devices_that_advertise_more_than_themselves() -> None:
    data = put(put(stack_data(), "regions.1.mode", "per-node"), "regions.1.machines.0.gateway", False)
    put(data, "regions.1.machines.1.gateway", False)
    plan = exported(StackConfig.model_validate(data))
    assert faults(data, plan) == []
    plan["regions"][1]["nodes"][0]["advertise"].append("10.1.0.0/24")
    assert faults(data, plan) == ["gpu: gpu-a does not advertise exactly itself"]


@pytest.mark.parametrize(
    ("path", "value", "fault"), BENT, ids=[f"{path}: {fault}"[:70] for path, _, fault in BENT]
)
def test_the_second_opinion_finds_faults(path: str, value: Any, fault: str) -> None:
    plan = copy.deepcopy(exported(StackConfig.model_validate(stack_data())))
    assert faults(stack_data(), plan) == []
    bend(plan, path, value)
    assert any(fault in line for line in faults(stack_data(), plan)), faults(stack_data(), plan)
