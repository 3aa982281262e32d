"""The report on a terminal: the same sections in the same order, the verdict last, where the eye is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from report.events import Step
from report.markdown import MARKS, policy_line
from report.matrix import matrix, reasons
from report.model import Compared, Report

COLORS = {"create": "green", "update": "yellow", "replace": "magenta", "delete": "red"}
# A stack that comes up anew has nothing to compare: its changes would only repeat the stack file.
MANY_CHANGES = 200


def show(report: Report, console: Console) -> None:
    """Print it."""
    say = Printer(console)
    for region, steps in groupby(report.steps[:MANY_CHANGES], key=lambda step: step.region):
        say.line(f"[bold]{escape(f'region {region}' if region else 'the whole stack')}[/]")
        for step in steps:
            say.step(step)
    if len(report.steps) > MANY_CHANGES:
        say.line(f"... and {len(report.steps) - MANY_CHANGES} more; REPORT=folder writes them all")
    say.gap()
    if report.links:
        header, rows = matrix(report)
        say.table("reachability between regions", header, rows)
        for reason, pairs in reasons(report):
            say.line(f"  [dim]{escape(', '.join(pairs))}: {escape(reason)}[/]")
    say.table(
        "addresses",
        ["region", "nodes", "pods", "machines"],
        [[row.region, *map(change, (row.nodes, row.pods, row.machines))] for row in report.addresses],
    )
    say.table(
        "prices",
        ["region", "seller", "GPUs", "per hour", "a GB that leaves it"],
        [[row.region, row.seller or "-", change(row.gpus), change(row.usd_per_hour), row.egress_usd_per_gb]
         for row in report.costs],
    )  # fmt: skip
    say.table(
        "summary", ["", "before", "after"], [[row.what, row.before, row.after] for row in report.summary]
    )
    for note in report.notes:
        say.line(f"[yellow]note:[/] {escape(note)}")
    for effect in report.effects:
        if effect.kind == "may change":
            continue  # marked in the list above
        color = "yellow" if effect.interrupts else "dim"
        say.line(f"[{color}]{effect.kind}[/] {escape(', '.join(effect.things))}: {escape(effect.sentence)}")
    _policies(report, say)
    color = "bold green" if report.verdict.ok else "bold red"
    for reason in report.verdict.reasons:
        say.line(f"[bold red]error:[/] {escape(reason)}")
    say.line(f"[{color}]{report.verdict.result}:[/] {escape(report.verdict.headline)}")


def change(compared: Compared) -> str:
    """`a`, or `a → b`."""
    if not compared.changed:
        return compared.after or "-"
    return f"{compared.before or '-'} → {compared.after or '-'}"


def _policies(report: Report, say: Printer) -> None:
    for finding in report.findings:
        level = "could not judge" if finding.unjudged else finding.level
        color = "bold red" if finding.fails else "yellow"
        say.line(f"[{color}]policy {escape(finding.rule)} ({level})[/] on {escape(finding.resource)}:")
        for line in finding.message.splitlines():
            say.line(f"    {escape(line)}")
    say.line(f"policies: {escape(policy_line(report))}")


class Printer:
    """Lines and tables as they are, never wrapped in the middle of an address."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def gap(self) -> None:
        self._console.print()

    def step(self, step: Step) -> None:
        op = "may change" if step.unclear else step.op
        self.line(f"  [{COLORS[step.op]}]{MARKS[step.op]}[/] {op:11}{escape(step.kind)} {escape(step.name)}")
        for one in step.changes:
            forced = " [magenta](replaces)[/]" if one.replaces else ""
            self.line(
                f"                {escape(one.path)}: {escape(one.before)} [dim]=>[/] {escape(one.after)}{forced}"
            )

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if not rows:
            return
        table = Table(
            *map(escape, header),
            title=title,
            title_justify="left",
            title_style="bold",
            box=None,
            pad_edge=False,
        )
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self._console.print(table)
        self.gap()
