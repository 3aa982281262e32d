"""A few words to say what a resource's inputs look like, and every problem of a value against them."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lab.plugins.values import Unknown

Scalar = Literal["string", "boolean", "number", "integer", "any"]


@dataclass(frozen=True)
class ListOf:
    item: Kind


@dataclass(frozen=True)
class MapOf:
    item: Kind


@dataclass(frozen=True)
class OneOf:
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """An object; a field whose name ends with `!` is required. An open record allows further fields."""

    fields: Mapping[str, Kind]
    open: bool = False

    def names(self) -> dict[str, Kind]:
        return {name.rstrip("!"): kind for name, kind in self.fields.items()}


class Judge(ABC):
    """A kind that judges values by itself."""

    @abstractmethod
    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        """What is wrong with a value at a path."""

    @abstractmethod
    def wanted(self) -> str:
        """What a value must be, in words."""


Kind = Scalar | ListOf | MapOf | OneOf | Record | Judge


@dataclass(frozen=True)
class Problem:
    path: str
    reason: str


SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "integer": (int,),
    "any": (object,),
}


def problems(kind: Kind, value: Any, path: str = "") -> Iterator[Problem]:
    """What is wrong with a value; an unknown could still become right."""
    if isinstance(value, Unknown):
        return
    if isinstance(kind, Record):
        yield from _record_problems(kind, value, path)
    elif isinstance(kind, Judge):
        yield from kind.problems(value, path)
    elif isinstance(kind, ListOf) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from problems(kind.item, item, f"{path}[{index}]")
    elif isinstance(kind, MapOf) and isinstance(value, dict):
        for key, item in value.items():
            yield from problems(kind.item, item, f"{path}.{key}" if path else key)
    elif not _fits(kind, value):
        yield Problem(path, f"got {describe(value)}, wants {wanted(kind)}")


def _fits(kind: Kind, value: Any) -> bool:
    if isinstance(kind, OneOf):
        return value in kind.choices
    if not isinstance(kind, str):
        return False
    # bool is an int in Python, but `port: true` is a mistake.
    return isinstance(value, SCALARS[kind]) and not (
        isinstance(value, bool) and kind in ("number", "integer")
    )


def _record_problems(kind: Record, value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(path, f"got {describe(value)}, wants an object")
        return
    known = kind.names()
    prefix = f"{path}." if path else ""
    for name in kind.fields:
        if name.endswith("!") and value.get(name[:-1]) is None:
            yield Problem(prefix + name[:-1], "is required")
    for name, item in value.items():
        if name in known:
            if item is not None:
                yield from problems(known[name], item, prefix + name)
        elif not kind.open:
            yield Problem(prefix + name, f"is not a known property{_suggest(name, known)}")


def _suggest(name: str, known: Mapping[str, Kind]) -> str:
    # The program's own spelling of a property is the commonest slip in an object written out by hand.
    flat = {one.lower(): one for one in known}.get(name.replace("_", "").lower())
    close = [flat] if flat else difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f" (known: {', '.join(sorted(known))})"


def wanted(kind: Kind) -> str:
    if isinstance(kind, Judge):
        return kind.wanted()
    if isinstance(kind, OneOf):
        return " or ".join(f'"{choice}"' for choice in kind.choices)
    if isinstance(kind, str):
        return {"string": "a string", "boolean": "true or false", "integer": "a whole number"}.get(
            kind, f"a {kind}"
        )
    return "a list" if isinstance(kind, ListOf) else "an object"


def describe(value: Any) -> str:
    """A value's type for an error message: the value itself might be a secret."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
