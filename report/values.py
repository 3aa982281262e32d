"""Property values as short text: what stood at a path before and what stands there after, and never a secret."""

from __future__ import annotations

import json
import re
from typing import Any

LONGEST_VALUE = 100
# How the engine's events write an unknown value, and the mark on an object that stands for a secret.
UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
HIDDEN = "[secret]"
LATER = "(known after the update)"
TOKEN = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)')


def value_at(root: Any, path: str) -> Any:
    """The value at a path of the engine's detailed diffs, such as `spec.ports[0].port`."""
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
        return LATER
    if isinstance(value, str) and "\n" in value:
        # A file: its words are what a reader compares, not its line ends.
        return " ".join(value.split())
    return json.dumps(value, ensure_ascii=False)
