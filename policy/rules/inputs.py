"""Reading inputs that may not be known yet: a rule that could not judge says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pulumi_policy.proxy import UnknownValueError

Props = Mapping[str, Any]


def rows(props: Props, key: str) -> Iterable[Any]:
    """A list input; absent and null mean empty."""
    return props.get(key) or ()


def number(value: Any) -> int | None:
    """A whole number; inputs arrive as floats, or as text from those who wrote text."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def unjudged(what: str, error: UnknownValueError) -> str:
    """The line for an input that only an update will know."""
    return (
        f"{what}: could not be judged, input {'.'.join(error.props)} is not known in this preview. "
        "Write a plain value for it in the stack file, or create the resource that it comes from first."
    )
