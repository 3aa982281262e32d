"""Reading inputs that may not be known yet, may be secret, and may have been written by anybody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy.proxy import UnknownValueError

Props = Mapping[str, Any]


class SecretText(str):
    """
    A text that the program gave to the engine as a secret. It reads as any text; `Report` takes it out of messages.
    """

    __slots__ = ()


def is_secret(value: Any) -> bool:
    """Whether the program marked a text as secret; pulumi_policy alone would not tell (see `host`)."""
    return isinstance(value, SecretText)


def known(props: Props, key: str) -> Any:
    """An input on which no verdict hangs: one that is unknown counts as absent."""
    try:
        return props.get(key)
    except UnknownValueError:
        return None


def written(props: Props, key: str) -> bool:
    """Whether somebody gave an input, known or not."""
    try:
        return props.get(key) is not None
    except UnknownValueError:
        return True


def rows(props: Props, key: str) -> Iterable[Any]:
    """A list input; absent and null mean empty."""
    return props.get(key) or ()


def texts(props: Props, key: str) -> list[str]:
    """A list of texts; absent and null mean empty, and one text alone is a list of one."""
    value = props.get(key)
    if isinstance(value, str):
        return [value]
    return [str(item) for item in value or ()]


def number(value: Any) -> int | None:
    """A whole number; inputs arrive as floats, or as text from those who wrote text."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def leaves(value: Any) -> Iterator[Any]:
    """Every value inside an input that is neither a list nor a mapping; unknown and null ones are left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | Sequence):
        for key in value if isinstance(value, Mapping) else range(len(value)):
            try:
                inner = value[key]
            except UnknownValueError:
                continue
            yield from leaves(inner)
    elif value is not None:
        yield value


def unjudged(what: str, error: UnknownValueError) -> str:
    """The line for an input that only an update will know."""
    return (
        f"{what}: could not be judged, input {'.'.join(error.props)} is not known in this preview. "
        "Write a plain value for it in the stack file, or create the resource that it comes from first."
    )
