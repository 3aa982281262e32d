"""Levels and settings that a stack chooses: a misspelt one is refused, where the engine would ignore it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pulumi_policy import Policy

LEVELS = ("advisory", "mandatory", "disabled")
# Names that the engine gives a meaning of their own (pulumi pkg/resource/analyzer/config.go).
EVERY_RULE = "all"
_KINDS: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "boolean": (bool,),
    "object": (dict,),
}


class SettingsError(ValueError):
    """Every problem of a stack's file, each a line with object, value and remedy."""


def check_settings(file: Path, rules: Sequence[Policy]) -> None:
    """Refuse a file of which the engine would ignore a part."""
    try:
        content = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise SettingsError(f"{file.name}: not valid JSON ({error}). Write {EXAMPLE}.") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{file.name}: got a {type(content).__name__}. Write {EXAMPLE}.")
    wanted = {name: _as_mapping(value) for name, value in content.items()}
    problems = [*_levels(wanted), *settings_problems(wanted, rules)]
    if problems:
        raise SettingsError("\n".join(f"{file.name}: {problem}" for problem in problems))


EXAMPLE = '{"devices-within-limit": {"enforcementLevel": "advisory", "max_devices": 100}}'


def settings_problems(wanted: Mapping[str, Any], rules: Sequence[Policy]) -> list[str]:
    """What is wrong with the settings of rules, by rule; levels are not looked at."""
    known = {rule.name: rule for rule in rules}
    problems: list[str] = []
    for name, values in sorted(wanted.items()):
        if name in known:
            problems += _values(known[name], values)
        elif name != EVERY_RULE:
            problems.append(f"no rule is named {name}. {_instead(name, known)}")
        elif set(values) - {"enforcementLevel"}:
            problems.append(f"{EVERY_RULE}: takes a level only. Write the settings under a rule's name.")
    return problems


def _as_mapping(value: Any) -> dict[str, Any]:
    """A level alone is short for a mapping with one."""
    return value if isinstance(value, dict) else {"enforcementLevel": value}


def _levels(wanted: Mapping[str, dict[str, Any]]) -> Iterable[str]:
    for name, values in sorted(wanted.items()):
        level = values.get("enforcementLevel", LEVELS[0])
        if level not in LEVELS:
            yield f"{name}: level {level!r} does not exist. Write one of {', '.join(LEVELS)}."


def _values(rule: Policy, values: Mapping[str, Any]) -> Iterable[str]:
    schema = rule.config_schema.properties if rule.config_schema else {}
    for name, value in sorted(values.items()):
        if name == "enforcementLevel":
            continue
        if name not in schema:
            yield f"{rule.name}: has no setting {name}. {_instead(name, schema)}"
        elif not _fits(value, schema[name]):
            least = schema[name].get("minimum")
            at_least = f" of at least {least}" if least is not None else ""
            yield f"{rule.name}: {name} is {json.dumps(value)}. Write a value of type {schema[name]['type']}{at_least}."


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    if isinstance(value, float) and value.is_integer():
        # The engine sends every number as a float.
        value = int(value)
    kinds = _KINDS[schema["type"]]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return False
    least = schema.get("minimum")
    return least is None or value >= least


def _instead(name: str, known: Mapping[str, Any]) -> str:
    if not known:
        return "Remove it: there is nothing to set."
    near = get_close_matches(name, known, n=1)
    hint = f"Write {near[0]}, or another" if near else "Write one"
    return f"{hint} of: {', '.join(sorted(known))}."
