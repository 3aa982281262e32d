"""The report for a pull request: the verdict first, what a reviewer must see open, everything else folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from report.events import Finding, Step
from report.matrix import matrix, reasons
from report.model import Compared, Effect, Report

# A comment holds 65536 characters (GitHub: "Body is too long").
LONGEST_COMMENT = 60_000
SPECIAL = re.compile(r"([\\`*_{}\[\]|~#])")
MENTION = re.compile(r"@(?=\w)")
ICONS = {True: "✅", False: "❌"}
MARKS = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
NOWHERE = "-"


def markdown(report: Report) -> str:
    """Markdown as GitHub renders it. Names and messages are escaped: they come from the change itself."""
    parts = [
        f"### tailspan: stack {text(report.stack)}",
        f"{ICONS[report.verdict.ok]} **{report.verdict.result.capitalize()}.** {text(report.verdict.headline)}",
        *(block(reason) for reason in report.verdict.reasons),
        f"Compared with {text(report.compared_with)}. Cross-region traffic runs between gateways over Tailscale: "
        "*direct* links are fast, *relayed* ones slow, *none* means no connection.",
        table(["", "before", "after"], (_compared(row) for row in report.summary)),
        *_effects(report),
        *_policies(report),
        *_reachability(report),
        fold("Address map", _addresses(report)),
        fold("Prices", _prices(report)),
        fold(f"Resources: {len(report.steps)} changed, {report.unchanged} unchanged", _resources(report)),
        *_notes(report),
    ]
    whole = "\n\n".join(part for part in parts if part) + "\n"
    return whole if len(whole) <= LONGEST_COMMENT else _shortened(whole)


# -- pieces


def text(value: str) -> str:
    """One line of text that means only itself, in a table cell, too; `@name` calls nobody."""
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return MENTION.sub("@\u200b", SPECIAL.sub(r"\\\1", value)).replace("\n", "<br>")


def block(value: str) -> str:
    """Preformatted text; the fence is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", value)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{value}\n{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are escaped already; empty without rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}", *lines]) if lines else ""


def fold(title: str, body: Iterable[str]) -> str:
    content = "\n\n".join(part for part in body if part)
    return f"<details><summary>{text(title)}</summary>\n\n{content}\n\n</details>" if content else ""


def change(compared: Compared) -> str:
    """`a`, or `a → b`; a side without a value is a dash."""
    if not compared.changed:
        return text(compared.after) or NOWHERE
    return f"{text(compared.before) or NOWHERE} → **{text(compared.after) or NOWHERE}**"


def _compared(row: Compared) -> list[str]:
    after = text(row.after) or NOWHERE
    return [text(row.what), text(row.before) or NOWHERE, f"**{after}**" if row.changed else after]


# -- sections


def _effects(report: Report) -> Iterator[str]:
    hard = [effect for effect in report.effects if effect.interrupts]
    soft = [effect for effect in report.effects if effect.kind == "changes"]
    unclear = [effect for effect in report.effects if effect.kind == "may change"]
    if hard:
        yield "**What is interrupted or replaced**\n\n" + "\n".join(map(_effect, hard))
    if soft:
        yield "**What changes while it runs**\n\n" + "\n".join(map(_effect, soft))
    if unclear:
        things = sum(len(effect.things) for effect in unclear)
        yield f"**What may change**: {things} resources, marked below; each {text(unclear[0].sentence)}."


def _effect(effect: Effect) -> str:
    where = f" ({text(effect.region)})" if effect.region else ""
    return f"- {text(', '.join(effect.things))}{where}: {text(effect.sentence)}"


def _policies(report: Report) -> Iterator[str]:
    if not report.findings:
        yield f"**Policies**: {text(policy_line(report))}"
        return
    yield f"**Policies**: {text(policy_line(report))}\n\n" + "\n".join(map(_finding, report.findings))


def policy_line(report: Report) -> str:
    """All rules at a glance."""
    if report.verdict.result == "refused":
        return "the program stopped before every rule could be asked."
    if not report.rules and not report.findings:
        return "no rule was asked."
    objecting = {finding.rule for finding in report.findings}
    passed = len(set(report.rules) - objecting)
    if not objecting:
        return f"all {passed} rules passed."
    return f"{len(objecting)} objected, {passed} passed."


def _finding(finding: Finding) -> str:
    level = "could not judge" if finding.unjudged else finding.level
    return f"- **{text(finding.rule)}** ({text(level)}) on {text(finding.resource)}: {text(finding.message)}"


def _reachability(report: Report) -> Iterator[str]:
    if not report.links:
        return
    header, rows = matrix(report)
    shown = table([text(cell) for cell in header], ([text(cell) for cell in row] for row in rows))
    why = "\n".join(f"- {text(', '.join(pairs))}: {text(reason)}" for reason, pairs in reasons(report))
    yield f"**Reachability between regions**\n\n{shown}"
    yield fold("Why, and the packet sizes", [why])


def _addresses(report: Report) -> Iterator[str]:
    yield table(
        ["region", "nodes", "pods", "machines", "gateways and what they advertise"],
        (
            [
                text(row.region),
                change(row.nodes),
                change(row.pods),
                change(row.machines),
                change(row.prefixes),
            ]
            for row in report.addresses
        ),
    )
    if report.moved:
        moved = table(["machine", "before", "after"], (_compared(row) for row in report.moved))
        yield "Machines that come, go or move:\n\n" + moved


def _prices(report: Report) -> Iterator[str]:
    yield table(
        ["region", "seller", "GPUs", "per hour", "a GB that leaves it"],
        (
            [text(row.region), text(row.seller) or NOWHERE, change(row.gpus), change(row.usd_per_hour),
             text(row.egress_usd_per_gb)]
            for row in report.costs
        ),
    )  # fmt: skip
    sources = dict.fromkeys(source for row in report.costs for source in row.sources)
    if sources:
        yield "GPUs only, list prices before tax. Sources: " + "; ".join(map(text, sources))


def _resources(report: Report) -> Iterator[str]:
    for region, steps in groupby(report.steps, key=lambda step: step.region):
        title = f"region {region}" if region else "the whole stack"
        yield f"{text(title)}\n\n" + "\n".join(map(_step, steps))


def _step(step: Step) -> str:
    op = "may change" if step.unclear else step.op
    lines = [f"- {MARKS[step.op]} {op} {text(step.kind)} **{text(step.name)}**"]
    for one in step.changes:
        forced = " (replaces)" if one.replaces else ""
        lines.append(f"  - {text(one.path)}: {text(one.before)} → {text(one.after)}{forced}")
    return "\n".join(lines)


def _notes(report: Report) -> Iterator[str]:
    if report.notes:
        yield fold("Notes", ["\n".join(f"- {text(note)}" for note in report.notes)])


def _shortened(whole: str) -> str:
    """What is folded is at the end, so the end goes."""
    kept = whole[: LONGEST_COMMENT - 200]
    kept = kept[: kept.rfind("\n")]
    missing = kept.count("<details>") - kept.count("</details>")
    return f"{kept}\n\n{'</details>' * missing}\n\nThe rest is left out here: run `make preview` for all of it.\n"
