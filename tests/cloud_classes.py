"""The classes of a cloud's SDK, imported, as a judge of what lab/plugins/cloud reads out of their source."""

from __future__ import annotations

import collections.abc
import enum
import importlib
import inspect
import sys
import typing
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import pulumi
from pulumi import _types

from lab.plugins.cloud.kinds import AnyOf, FileKind, Known
from lab.plugins.cloud.resource import CloudResource
from lab.plugins.cloud.sdk import Sdk
from lab.plugins.schema import Kind, ListOf, MapOf, OneOf, Record

SCALARS = {str: "string", bool: "boolean", int: "integer", float: "number", Any: "any"}
FILES = {pulumi.Asset: "asset", pulumi.Archive: "archive"}


def differences(sdk: Sdk, token: str, seen: set[type]) -> Iterator[str]:
    """Where a resource type as it was read differs from its classes, nested ones included that were not `seen` yet."""
    source = sdk.resource(token)
    resource = CloudResource(sdk, source)
    module = _module(sdk, source.file)
    for problem in _of_class(resource.schema, getattr(module, source.inputs), seen):
        yield f"{token}: {problem}"
    outputs = set(_types.resource_types(getattr(module, source.outputs)))
    if outputs != set(resource.outputs.names()):
        yield f"{token}: outputs differ: {outputs ^ set(resource.outputs.names())}"


@cache
def _module(sdk: Sdk, file: Any) -> Any:
    name = ".".join((sdk.module, *file.relative_to(sdk.root).with_suffix("").parts))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(name)


def _of_class(record: Record, cls: type, seen: set[type]) -> Iterator[str]:
    if cls in seen:
        return
    seen.add(cls)
    types = _types.input_type_types(cls)
    known = record.names()
    if list(types) != list(known):
        yield f"{cls.__name__} has {list(types)}, read were {list(known)}"
        return
    required = {name for name in record.fields if name.endswith("!")}
    names = _types.input_type_py_to_pulumi_names(cls)
    demanded = {
        f"{names[one.name]}!"
        for one in inspect.signature(cls).parameters.values()
        if one.default is inspect.Parameter.empty
    }
    if required != demanded:
        yield f"{cls.__name__} requires {demanded}, read were {required}"
    for name, annotation in types.items():
        yield from (f"{cls.__name__}.{name}: {one}" for one in _of_type(known[name], annotation, seen))


def _of_type(kind: Kind, annotation: Any, seen: set[type]) -> Iterator[str]:
    options = _options(annotation)
    if len(options) > 1:
        yield from _of_union(kind, options, seen)
        return
    (option,) = options
    origin, arguments = typing.get_origin(option), typing.get_args(option)
    if origin is collections.abc.Sequence and isinstance(kind, ListOf):
        yield from _of_type(kind.item, arguments[0], seen)
    elif origin is collections.abc.Mapping and isinstance(kind, MapOf):
        yield from _of_type(kind.item, arguments[1], seen)
    elif isinstance(option, type) and _types.is_input_type(option) and isinstance(kind, Record):
        yield from _of_class(kind, option, seen)
    elif not _is_leaf(kind, option):
        yield f"is {option}, read was {kind}"


def _of_union(kind: Kind, options: list[Any], seen: set[type]) -> Iterator[str]:
    enums = [one for one in options if isinstance(one, type) and issubclass(one, enum.Enum)]
    if enums and str in options:
        if kind != Known(_values(enums[0])):
            yield f"is any text or {enums}, read was {kind}"
    elif not isinstance(kind, AnyOf) or len(kind.kinds) != len(options):
        yield f"is one of {options}, read was {kind}"
    else:
        for inner, option in zip(kind.kinds, options, strict=True):
            yield from _of_type(inner, option, seen)


def _is_leaf(kind: Kind, option: Any) -> bool:
    if isinstance(kind, OneOf):
        return isinstance(option, type) and issubclass(option, enum.Enum) and kind.choices == _values(option)
    if isinstance(kind, FileKind):
        return FILES.get(option) == kind.name
    return isinstance(kind, str) and SCALARS.get(option) == kind


def _values(option: Any) -> tuple[str, ...]:
    return tuple(one.value for one in option)


def _options(annotation: Any) -> list[Any]:
    """The alternatives, without those that say when a value comes (pulumi.Input, Optional)."""
    if typing.get_origin(annotation) is not typing.Union:
        return [annotation]
    late = (collections.abc.Awaitable, pulumi.Output)
    return [
        one
        for one in typing.get_args(annotation)
        if one is not type(None) and one is not pulumi.Output and typing.get_origin(one) not in late
    ]


def compared(name: str, folders: set[str] | None = None, every: int = 1) -> tuple[int, list[str]]:
    """How many resource types of an SDK were compared, and what differs; of some folders, or every so manieth type."""
    sdk = Sdk(name)
    tokens = [token for token, (folder, _) in sdk.tokens.items() if not folders or folder.name in folders]
    tokens = sorted(tokens)[::every]
    seen: set[type] = set()
    return len(tokens), [problem for token in tokens for problem in differences(sdk, token, seen)]


if __name__ == "__main__":
    count, found = compared(sys.argv[1], set(sys.argv[3:]) or None, int(sys.argv[2]))
    print(count, *found, sep="\n")
    sys.exit(1 if found else 0)
