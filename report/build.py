"""From two sides and the events of a preview to the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from report.costs import cost_rows, egress, gpus, per_hour, per_hour_in_the_cloud
from report.effects import effects
from report.events import OPS, Outcome
from report.model import Compared, Effect, Report, Verdict
from report.network import address_rows, link_rows, moved_machines
from report.sides import Side


def build_report(
    stack: str,
    before: Side,
    after: Side,
    outcome: Outcome,
    *,
    compared_with: str,
    failure: str = "",
    notes: Sequence[str] = (),
) -> Report:
    """
    `failure` is what the engine's command line said if it failed without an event that explains it. A stack whose
    `before` cannot be read is reported with that as a note: it is not the change's fault.
    """
    # What a refused program would have done beside is no part of the answer, and how far it got is chance.
    steps = [] if outcome.errors else outcome.steps
    found = effects(steps, before, after)
    return Report(
        stack=stack,
        compared_with=compared_with,
        verdict=_verdict(outcome, found, failure),
        summary=_summary(before, after),
        effects=found,
        rules=() if outcome.errors else tuple(sorted(outcome.rules)),
        findings=tuple(sorted(outcome.findings, key=lambda one: (not one.fails, one.rule, one.resource))),
        links=link_rows(before, after),
        addresses=address_rows(before, after),
        moved=moved_machines(before, after),
        costs=cost_rows(before, after),
        steps=tuple(steps),
        unchanged=0 if outcome.errors else outcome.unchanged,
        complete=outcome.finished and not outcome.errors,
        notes=(*notes, *(f"before: {problem}" for problem in before.problems), *_warnings(outcome)),
    )


def _verdict(outcome: Outcome, found: Sequence[Effect], failure: str) -> Verdict:
    violations = [
        finding for finding in outcome.findings if finding.level == "mandatory" and not finding.unjudged
    ]
    unjudged = [finding for finding in outcome.findings if finding.unjudged]
    if outcome.errors:
        return Verdict(
            result="refused",
            headline="This change cannot be made as it is written.",
            reasons=tuple(outcome.errors),
        )
    if violations:
        rules = len({finding.rule for finding in violations})
        headline = f"{_number(rules, 'rule')} violated, see Policies. `pulumi up` would stop there, too."
        return Verdict(result="violates", headline=headline)
    if unjudged:
        rules = len({finding.rule for finding in unjudged})
        headline = f"{rules} {'rule' if rules == 1 else 'rules'} could not be judged, see Policies: that is no consent."
        return Verdict(result="cannot judge", headline=headline)
    if failure or not outcome.finished:
        reasons = (failure,) if failure else ("the preview ended early and did not say why",)
        return Verdict(result="failed", headline="The preview failed.", reasons=reasons)
    return Verdict(result="passes", headline=f"{_counts(outcome)} {_interruption(found)}")


def _counts(outcome: Outcome) -> str:
    if not outcome.steps:
        return f"No changes to {outcome.unchanged} resources."
    counts = Counter(step.op for step in outcome.steps if not step.unclear)
    parts = [f"{counts[op]} to {op}" for op in OPS if counts[op]]
    unclear = sum(step.unclear for step in outcome.steps)
    parts += [f"{unclear} that may change"] if unclear else []
    return f"{', '.join(parts)}, {outcome.unchanged} unchanged."


def _interruption(found: Sequence[Effect]) -> str:
    counts: Counter[str] = Counter(effect.kind for effect in found for _ in effect.things)
    words = {"replaces": "made anew", "drains": "drained or removed", "restarts": "restarted"}
    parts = [f"{counts[kind]} {word}" for kind, word in words.items() if counts[kind]]
    return f"Of what runs, {', '.join(parts)}." if parts else "Nothing that runs is interrupted."


def _warnings(outcome: Outcome) -> list[str]:
    return [
        f"{', '.join(sorted(about))}: {message}" if about else message
        for message, about in sorted(outcome.warnings.items())
    ]


def _summary(before: Side, after: Side) -> tuple[Compared, ...]:
    rows = [
        ("regions", [", ".join(side.regions) for side in (before, after)]),
        ("machines", [str(len(side.nodes)) if side.plan else "" for side in (before, after)]),
        ("GPUs", [gpus(side) for side in (before, after)]),
        ("price of the GPUs per hour", [per_hour(side) for side in (before, after)]),
        (
            f"the same GPUs in {_cloud(before, after)}",
            [per_hour_in_the_cloud(side) for side in (before, after)],
        ),
        ("a GB that leaves the region", [egress(side) for side in (before, after)]),
        ("tailnet devices", [_devices(side) for side in (before, after)]),
    ]
    return tuple(Compared(what=what, before=old, after=new) for what, (old, new) in rows)


def _cloud(*sides: Side) -> str:
    """`hub (gcp)`: the cloud region and whose prices hold there."""
    for side in reversed(sides):
        for region in side.regions.values():
            if region.kind == "cloud":
                return f"{region.name} ({region.seller or 'no seller written'})"
    return "the cloud region"


def _devices(side: Side) -> str:
    if side.plan is None or side.config is None:
        return ""
    limit = side.config.tailnet.max_devices
    return f"{side.plan.devices} of {limit}" if limit else f"{side.plan.devices} (no limit)"


def _number(count: int, thing: str) -> str:
    return f"{count} {thing} is" if count == 1 else f"{count} {thing}s are"
