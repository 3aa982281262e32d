"""A planned change, property by property, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.markup import escape

from report.values import text_change, value_at

COLORS = {"add": "green", "delete": "red", "update": "yellow"}


def change_lines(metadata: Any) -> Iterator[str]:
    """`path: old => new` for every property that an update or a replacement changes."""
    op = str(getattr(metadata.op, "value", metadata.op))
    if op not in ("update", "replace") or not metadata.detailed_diff:
        return
    old = (metadata.old.inputs if metadata.old else None) or {}
    new = (metadata.new.inputs if metadata.new else None) or {}
    for path, diff in sorted(metadata.detailed_diff.items()):
        kind = str(getattr(diff.diff_kind, "value", diff.diff_kind))
        color = COLORS.get(kind.split("-")[0], "white")
        why = " [magenta](replaces)[/]" if kind.endswith("replace") else ""
        before, after = text_change(value_at(old, path), value_at(new, path))
        yield f"[{color}]{escape(path)}[/]: {escape(before)} [dim]=>[/] {escape(after)}{why}"
