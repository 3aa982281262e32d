"""A planned change, property by property, in lines for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from rich.markup import escape

LONGEST_VALUE = 100
# How the engine's events write an unknown value, and the mark on an object that stands for a secret.
UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
HIDDEN = "[secret]"
TOKEN = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)')
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


def value_at(root: Any, path: str) -> Any:
    for quoted, index, name in TOKEN.findall(path):
        if isinstance(root, dict) and SIGNATURE in root:
            return HIDDEN
        if index and isinstance(root, list):
            root = root[int(index)] if int(index) < len(root) else None
        elif isinstance(root, dict):
            root = root.get(quoted or name)
        else:
            return root if isinstance(root, str) else None
    return root


def text_change(old: Any, new: Any) -> tuple[str, str]:
    """Both sides as text; of long texts only where they begin to differ."""
    before, after = _text(old), _text(new)
    if max(len(before), len(after)) <= LONGEST_VALUE:
        return before, after
    same = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    start = max(same - LONGEST_VALUE // 3, 0)
    return _window(before, start), _window(after, start)


def _window(text: str, start: int) -> str:
    head = "…" if start else ""
    tail = "…" if len(text) > start + LONGEST_VALUE else ""
    return f"{head}{text[start : start + LONGEST_VALUE]}{tail}"


def _text(value: Any) -> str:
    if value == HIDDEN or (isinstance(value, dict) and SIGNATURE in value):
        return HIDDEN
    if value is None:
        return "(none)"
    if value == UNKNOWN_TEXT:
        return "(known after the update)"
    return json.dumps(value, ensure_ascii=False)
