"""The measured table, for a terminal and for docs/failover.md; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from lab.rig.catalogue import CLUSTER_ONLY, EVENTS
from lab.rig.events import Event, Step
from lab.rig.result import Result

# What a gap is called that did not end while it was watched.
_NEVER = "never"


def rows() -> Iterator[tuple[Event, Step]]:
    """Every step that has something to tell; some only lead to the next one."""
    for event in (*EVENTS, *CLUSTER_ONLY):
        for step in event.steps:
            if step.ways or step.unchanged_for:
                yield event, step


def goal(step: Step) -> str:
    """What is promised for a row, in the words of the table."""
    promises = []
    if step.lossless:
        promises.append("0 lost, TCP survives")
    if step.median is not None:
        promises.append(f"median <= {step.median:.1f} s")
    if step.worst is not None:
        promises.append(f"worst <= {step.worst:.1f} s")
    if step.unchanged_for:
        promises.append("0 changes of routes and prefixes")
    return ", ".join(promises) or "-"


def gap(result: Result, step: Step) -> float | None:
    """
    The worst of the directions that count, None when it did not end. Where time counts from the end of what was done,
    it is the time until the last loss.
    """
    if not result.recovered:
        return None
    figures = result.last if step.after else result.gap
    return max((figures[way] for way in step.ways), default=0.0)


def lost(result: Result, step: Step) -> int:
    return sum(result.lost[way] for way in step.ways)


def holds(result: Result, step: Step) -> bool:
    """Whether a run kept the promise; a median is a matter of all runs."""
    measured = gap(result, step)
    if measured is None or result.lost_inside or (step.unchanged_for and result.changes):
        return False
    if step.lossless and (lost(result, step) or result.broken):
        return False
    return step.worst is None or measured <= step.worst


def cell(results: Sequence[Result], step: Step) -> str:
    """One row and one setup: loss and gap over its runs."""
    if not results:
        return "-"
    gaps = [gap(result, step) for result in results]
    ended = sorted(value for value in gaps if value is not None)
    lossy = sum(1 for result in results if lost(result, step))
    parts = []
    if len(ended) < len(gaps):
        parts.append(
            f"{_NEVER} in {len(gaps) - len(ended)} of {len(gaps)} (watched {_watched(results):.0f} s)"
        )
    if ended and step.ways:
        parts.append(_seconds(ended, lossy, len(gaps)))
    if changed := sum(1 for result in results if result.changes):
        parts.append(f"changes in {changed} of {len(results)}")
    elif step.unchanged_for:
        parts.append("no change")
    if inside := sum(result.lost_inside for result in results):
        parts.append(f"{inside} lost inside the region")
    if broken := sum(result.broken for result in results):
        parts.append(f"{broken} TCP connections broken")
    dead = [result for result in results if result.working < result.flows]
    if dead:
        shares = [result.working / result.flows for result in dead]
        parts.append(f"of the {median(shares):.0%} of flows that worked before")
    return "; ".join(parts)


def _seconds(ended: Sequence[float], lossy: int, runs: int) -> str:
    if not lossy and not any(ended):
        return f"0 lost in {runs} of {runs}"
    where = f", {runs - lossy} of {runs} without loss" if 0 < lossy < runs else f" of {runs}"
    return f"median {median(ended):.2f} s, worst {ended[-1]:.2f} s{where}"


def _watched(results: Iterable[Result]) -> float:
    return min(result.watched for result in results if not result.recovered)


def markdown(results: Sequence[Result], setups: Mapping[str, str]) -> str:
    """`setups`: the columns, title by setup."""
    lines = [
        "| event | goal | " + " | ".join(setups.values()) + " |",
        "|---|---|" + "---|" * len(setups),
    ]
    for event, step in rows():
        mine = [one for one in results if (one.event, one.part) == (event.name, step.part)]
        if mine:
            cells = [cell([one for one in mine if one.setup == setup], step) for setup in setups]
            lines.append(f"| {step.title} | {goal(step)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def broken_promises(results: Iterable[Result], setup: str) -> list[str]:
    """One line for each run of a setup that did not keep its row's promise, and for each median too long."""
    results = [one for one in results if one.setup == setup]
    lines = []
    for event, step in rows():
        mine = [one for one in results if (one.event, one.part) == (event.name, step.part)]
        lines += [f"{step.title}, run {one.run}: {cell([one], step)}" for one in mine if not holds(one, step)]
        ended = [value for one in mine if (value := gap(one, step)) is not None]
        if step.median is not None and ended and median(ended) > step.median:
            lines.append(f"{step.title}: median {median(ended):.2f} s, promised {step.median:.1f} s")
    return lines
