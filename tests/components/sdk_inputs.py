"""Inputs as they go over the wire, held against the argument classes of the SDK that would have sent them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.components.recording import Secret

_PARAMETER = re.compile(r"^ +(\w+): (.+?)( = None)?(?:,|\):)$", re.MULTILINE)
_NESTED = re.compile(r"'(\w+Args)'")
_PLAIN: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int, float),
    "float": (int, float),
}


@cache
def _source(package: str, path: str) -> str:
    """Read, not imported: importing the SDK of a cloud takes seconds."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / path).read_text()


@cache
def _parameters(package: str, path: str, name: str) -> dict[str, tuple[str, bool]]:
    """The arguments of a class by their names on the wire: the type, and whether it must be given."""
    text = _source(package, path)
    start = text.index(f"\nclass {name}:\n    def __init__(__self__, *,\n")
    # Each argument is a line of its own, up to the one that closes the list.
    lines = text[start : text.index("):\n", start) + 2].split("*,\n", 1)[1]
    found = {}
    for match in _PARAMETER.finditer(lines):
        head, *rest = match[1].split("_")
        found[head + "".join(part.title() for part in rest)] = (match[2], match[3] is None)
    return found


def problems(token: str, inputs: Mapping[str, Any]) -> list[str]:
    """What the SDK's class of a resource would not take of these inputs, and what it would miss."""
    package, path, name = token.split(":")
    module = path.split("/")[0]
    # RegionBackendService is in region_backend_service, IAMMember in iam_member.
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return list(_object(f"pulumi_{package}", module, f"{module}/{snake}.py", f"{name}Args", inputs, name))


def _object(
    package: str, module: str, path: str, name: str, value: Mapping[str, Any], where: str
) -> Iterator[str]:
    known = _parameters(package, path, name)
    yield from (f"{where}: no input {key}" for key in value if key not in known)
    yield from (
        f"{where}: misses {key}" for key, (_, required) in known.items() if required and key not in value
    )
    for key in value.keys() & known.keys():
        yield from _value(package, module, known[key][0], value[key], f"{where}.{key}")


def _value(package: str, module: str, kind: str, value: Any, where: str) -> Iterator[str]:
    if isinstance(value, Secret):
        value = value.value
    if "Sequence[" in kind:
        if not isinstance(value, list):
            yield f"{where}: {value!r} is no list"
            return
        kind = kind.replace("Sequence[", "")
        for item in value:
            yield from _value(package, module, kind, item, where)
        return
    nested = _NESTED.search(kind)
    if nested or "Mapping[" in kind:
        if not isinstance(value, dict):
            yield f"{where}: {value!r} is no object"
        elif nested:
            yield from _object(package, module, f"{module}/_inputs.py", nested[1], value, where)
        return
    plain = re.search(r"_builtins\.(\w+)", kind)
    assert plain, f"{where}: the SDK says {kind}"
    wanted = _PLAIN[plain[1]]
    right = isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool))
    if not right:
        yield f"{where}: {value!r} is no {plain[1]}"
