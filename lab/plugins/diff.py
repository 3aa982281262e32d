"""Which paths of an object changed, in the notation of the engine's detailed diffs."""

from __future__ import annotations

import re
from typing import Any, Literal

Change = Literal["add", "delete", "update"]
PLAIN_KEY = re.compile(r"[A-Za-z_$][\w$]*")


def changes(old: Any, new: Any, path: str = "") -> dict[str, Change]:
    """Leaf paths that differ. A value that is not known yet counts as changed."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, Change] = {}
        for key in [*old, *(key for key in new if key not in old)]:
            found.update(changes(old.get(key), new.get(key), _join(path, key)))
        return found
    if isinstance(old, list) and isinstance(new, list):
        found = {}
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            found.update(changes(before, after, f"{path}[{index}]"))
        return found
    if (old == new and type(old) is type(new)) or _same_number(old, new):
        return {}
    if old is None:
        return {path: "add"}
    return {path: "delete" if new is None else "update"}


def _join(path: str, key: str) -> str:
    if PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}" if path else key
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'{path}["{escaped}"]'


def _same_number(old: Any, new: Any) -> bool:
    number = (int, float)
    return (
        isinstance(old, number)
        and isinstance(new, number)
        and type(new) is not bool is not type(old)
        and old == new
    )
