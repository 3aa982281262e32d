"""The network-only lab's pure parts: its stack, its routes, what it makes of measurements."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from lab.rig import result, routes, state, table
from lab.rig.catalogue import EVENTS
from lab.rig.events import BOTH, Step, nothing
from lab.rig.flows import Flow
from lab.rig.lan import records_of
from lab.rig.plan import Shape, plan_of
from lab.rig.result import Result
from lab.rig.rig import Rig

FAST = Step(part="failure", title="a failure", do=nothing, worst=2.0)
LOSSLESS = Step(part="failure", title="a drain", do=nothing, lossless=True)
RUN = Result(
    setup="agent",
    event="power_off",
    part="failure",
    run=0,
    victim="gpu-gw-1",
    at="2026-01-01T00:00:00.000+00:00",
    working=32,
    flows=32,
    sent=6400,
    lost={"in": 40, "out": 30},
    gap={"in": 0.9, "out": 0.7},
    last={"in": 1.4, "out": 1.2},
    lost_inside=0,
    recovered=True,
    watched=2.0,
    broken=0,
    stall=1.2,
)
CLEAN = replace(RUN, lost={"in": 0, "out": 0}, gap={"in": 0.0, "out": 0.0}, recovered=True)


@pytest.mark.parametrize("lan", ["l2", "routed"])
@pytest.mark.parametrize("gateways", [2, 3, 4])
def test_every_shape_is_a_stack_that_the_product_plans(lan: str, gateways: int) -> None:
    plan = plan_of(
        Shape(regions=("hub", "gpu", "edge"), gateways=gateways, lan="l2" if lan == "l2" else "routed")
    )
    assert [len(region.gateways) for region in plan.regions] == [gateways] * 3
    assert {region.reach for region in plan.regions} == {"lan" if lan == "l2" else "tunnel"}


def test_only_gateways_have_a_public_address() -> None:
    plan = plan_of(Shape())
    public = {name for name, machine in records_of(plan).machines.items() if machine.public_ip}
    assert public == {gateway.name for region in plan.regions for gateway in region.gateways}


def test_nodes_of_a_region_lie_on_ranges_of_different_parity() -> None:
    # Where ingress is shared by ranges, both gateways then have a measured node at home.
    for region in plan_of(Shape()).regions:
        numbers = {int(node.node_ip) & 1 for node in region.nodes if node.role != "gateway"}
        assert numbers == {0, 1}


def test_static_routes_pass_the_tunnel_only_where_the_lan_is_routed() -> None:
    for lan, device in (("l2", "dev eth0"), ("routed", "dev tailspan0 onlink")):
        rig = Rig(Shape(lan="l2" if lan == "l2" else "routed"))
        node = rig.plain_nodes("gpu")[0]
        commands = routes.commands(rig, node, rig.gateways("gpu"))
        assert all(command.count(device) == 2 for command in commands), commands


def flow(arrived: str) -> Flow:
    """A probe every 20 ms: "x" arrived, "." did not."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    made = Flow(*ends, sent=[1 + number / 50 for number in range(len(arrived))])
    made.arrived = bytearray(mark == "x" for mark in arrived)
    for end in ends:
        end.close()
    return made


@pytest.mark.parametrize(
    ("arrived", "lost", "gap"),
    [
        ("xxxxxxxxxx", 0, 0.0),
        ("xx.xxxxxxx", 1, 0.02),
        ("xx.x...xx.", 5, 0.06),
        ("..........", 10, 0.2),
        ("xxxxx.....", 5, 0.1),
    ],
)
def test_a_gap_lasts_from_the_first_lost_probe_to_the_next_that_arrives(
    arrived: str, lost: int, gap: float
) -> None:
    judged = flow(arrived).judged(1.0, 1.2)
    assert (judged.sent, judged.lost) == (10, lost)
    assert judged.gap == pytest.approx(gap)


def test_probes_outside_the_window_do_not_count() -> None:
    judged = flow("..xxxxxx..").judged(1.04, 1.16)
    assert (judged.sent, judged.lost, judged.gap) == (6, 0, 0.0)


def test_the_last_loss_is_counted_from_the_windows_beginning() -> None:
    assert flow("xx.x.xxxxx").judged(1.0, 1.2).last == pytest.approx(0.08)


def test_a_forgotten_flow_goes_on_with_its_numbers() -> None:
    one = flow("x" * 500)
    one.forget()
    assert one.first + len(one.sent) == 500
    assert len(one.sent) == len(one.arrived) < 500


def test_a_promise_of_a_gap_is_broken_by_a_longer_one_and_by_one_without_end() -> None:
    assert table.holds(RUN, FAST)
    assert not table.holds(replace(RUN, gap={"in": 2.1, "out": 0.0}), FAST)
    assert not table.holds(replace(RUN, recovered=False), FAST)


def test_a_promise_of_no_loss_is_broken_by_one_probe_or_one_connection() -> None:
    assert table.holds(CLEAN, LOSSLESS)
    assert not table.holds(replace(CLEAN, lost={"in": 1, "out": 0}), LOSSLESS)
    assert not table.holds(replace(CLEAN, broken=1), LOSSLESS)


def test_every_promise_is_broken_by_loss_inside_the_region() -> None:
    assert not table.holds(replace(RUN, lost_inside=1), FAST)


def test_only_the_promised_direction_counts() -> None:
    egress = replace(FAST, ways=("out",))
    assert table.holds(replace(RUN, gap={"in": 9.0, "out": 0.7}), egress)
    assert not table.holds(replace(RUN, gap={"in": 0.0, "out": 9.0}), egress)


def test_where_time_counts_from_the_end_of_the_act_the_last_loss_tells() -> None:
    healed = replace(FAST, after=True)
    assert table.gap(RUN, healed) == 1.4
    assert not table.holds(replace(RUN, last={"in": 2.1, "out": 0.0}), healed)


def test_changed_routes_break_the_promise_of_none() -> None:
    still = Step(part="failure", title="far region dead", do=nothing, ways=(), unchanged_for=5)
    assert table.holds(replace(CLEAN, recovered=False), replace(still, ways=BOTH)) is False
    assert table.holds(CLEAN, still)
    assert not table.holds(replace(CLEAN, changes=["gpu-1: - default"]), still)


def test_a_cell_tells_median_and_worst_and_what_never_ended() -> None:
    later = replace(RUN, gap={"in": 1.5, "out": 0.0})
    assert table.cell([RUN, later, CLEAN], FAST) == "median 0.90 s, worst 1.50 s, 1 of 3 without loss"
    assert table.cell([CLEAN, CLEAN], LOSSLESS) == "0 lost in 2 of 2"
    never = replace(RUN, recovered=False, watched=8.5)
    assert table.cell([never, never], FAST) == "never in 2 of 2 (watched 8 s)"
    assert table.cell([], FAST) == "-"


def test_a_cell_says_how_few_flows_worked_at_all() -> None:
    assert table.cell([replace(CLEAN, working=16)], FAST).endswith("of the 50% of flows that worked before")


def test_a_median_is_judged_over_all_runs() -> None:
    slow = replace(RUN, gap={"in": 1.2, "out": 0.0})
    [line] = table.broken_promises([slow, slow, RUN], "agent")
    assert "median 1.20 s, promised 1.0 s" in line
    assert table.broken_promises([slow, RUN, RUN], "agent") == []


def test_every_event_ends_with_everything_undone() -> None:
    parts = {event.name: [step.part for step in event.steps] for event in EVENTS}
    lasting = {name: steps for name, steps in parts.items() if name not in ("nothing", "rolling")}
    assert all(steps[-1] == "recovery" for steps in lasting.values()), parts
    assert all(len(set(steps)) == len(steps) for steps in parts.values())
    assert all(
        one.name != other.name for one, other in pairwise(sorted(EVENTS, key=lambda event: event.name))
    )


def test_results_survive_a_file(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    for one in (RUN, CLEAN):
        result.append(file, one)
    assert result.read([file]) == [RUN, CLEAN]
    assert all(json.loads(line)["setup"] == "agent" for line in file.read_text().splitlines())


def test_a_table_has_a_row_for_each_measured_step() -> None:
    text = table.markdown([RUN], {"agent": "tailspan"})
    assert text.splitlines()[0] == "| event | goal | tailspan |"
    assert text.splitlines()[2:] == [
        "| power-off of a gateway | median <= 1.0 s, worst <= 2.0 s | median 0.90 s, worst 0.90 s of 1 |"
    ]


def test_changes_name_what_came_and_what_went() -> None:
    before = {"gpu-1": frozenset({"default via 10.1.0.1", "10.0.0.0/9 via 10.1.0.20"})}
    after = {"gpu-1": frozenset({"default via 10.1.0.1", "10.0.0.0/9 via 10.1.0.21"})}
    assert state.changes(before, after) == [
        "gpu-1: + 10.0.0.0/9 via 10.1.0.21",
        "gpu-1: - 10.0.0.0/9 via 10.1.0.20",
    ]
    assert state.changes(before, before) == []
