"""Findings as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from check.result import Result


def as_json(results: Sequence[Result], seconds: float) -> str:
    entries = [asdict(result) | {"seconds": round(result.seconds, 2)} for result in results]
    ok = all(result.ok for result in results) and bool(results)
    return json.dumps({"ok": ok, "seconds": round(seconds, 1), "results": entries}, indent=2)


def as_table(results: Sequence[Result], seconds: float, console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in ("check", "where", "", "seen", "s"):
        table.add_column(column, justify="right" if column == "s" else "left", overflow="fold")
    last = ""
    for result in grouped(results):
        mark = Text("pass", style="green") if result.ok else Text("FAIL", style="bold red")
        took = f"{result.seconds:.1f}" if result.seconds else ""
        # Text, not markup: an address in brackets is no style.
        seen = Text(result.detail)
        if not result.ok:
            seen.append(f"\nlikely: {result.cause or 'unknown'}", style="yellow")
        table.add_row(result.name if result.name != last else "", result.subject, mark, seen, took)
        last = result.name
    console.print(table)
    failed = sum(not result.ok for result in results)
    summary = f"{len(results)} checks in {seconds:.0f} s: "
    console.print(
        Text(summary + (f"{failed} FAILED" if failed else "all pass"), style="red" if failed else "green")
    )


def grouped(results: Sequence[Result]) -> list[Result]:
    """Findings of one check stand together, in the order in which the checks were first met."""
    names = list(dict.fromkeys(result.name for result in results))
    return sorted(results, key=lambda result: names.index(result.name))
