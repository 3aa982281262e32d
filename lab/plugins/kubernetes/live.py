"""The part of a live object that the stack manages: what it set, with the values found in the cluster."""

from __future__ import annotations

import base64
import binascii
from decimal import Decimal, InvalidOperation
from typing import Any

SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
}


def managed_part(live: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """`wanted` with the live values. Nothing that the cluster added, so that only real drift differs."""
    found = _reduced(live, wanted)
    if "stringData" in wanted:
        found["stringData"] = _string_data(live.get("data") or {}, wanted["stringData"] or {})
    return dict(found)


def _reduced(live: Any, wanted: Any) -> Any:
    if isinstance(wanted, dict) and isinstance(live, dict):
        return {
            key: _reduced(live[key], value) for key, value in wanted.items() if key in live
        } | _still_empty(live, wanted)
    if isinstance(wanted, list) and isinstance(live, list):
        if len(live) != len(wanted):
            return live
        return [_reduced(item, other) for item, other in zip(live, wanted, strict=True)]
    return wanted if _equal(live, wanted) else live


def _still_empty(live: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The API server drops empty values and defaults (`false`, `[]`, `""`): their absence is no drift."""
    return {
        key: value
        for key, value in wanted.items()
        if key not in live and value in (None, False, "", 0, [], {})
    }


def _string_data(data: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    return {key: _decoded(data[key]) for key in wanted if key in data}


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode()
    except (binascii.Error, UnicodeDecodeError):
        return text


def _equal(live: Any, wanted: Any) -> bool:
    if live == wanted:
        return True
    before, after = quantity(live), quantity(wanted)
    return before is not None and before == after


def quantity(value: Any) -> Decimal | None:
    """The API server rewrites quantities: 1000m becomes 1, 1024Mi becomes 1Gi."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    text = str(value)
    digits = text.rstrip("numkKMGTPi")
    try:
        return Decimal(digits) * SUFFIXES[text[len(digits) :]]
    except (InvalidOperation, KeyError):
        return None
