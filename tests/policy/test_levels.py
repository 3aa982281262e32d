"""A stack's levels and settings: what is wrong in a file is refused by name; the checkout's own files are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from policy.rules import RULES
from policy.rules.settings import EXAMPLE, SettingsError, check_settings

ROOT = Path(__file__).resolve().parents[2]


def refused(folder: Path, content: Any) -> list[str]:
    file = folder / "config.dev.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(SettingsError) as error:
        check_settings(file, RULES)
    return str(error.value).splitlines()


def test_the_example_is_right(tmp_path: Path) -> None:
    file = tmp_path / "config.dev.json"
    file.write_text(EXAMPLE)
    check_settings(file, RULES)


def test_every_file_of_the_checkout_is_right_and_belongs_to_a_stack() -> None:
    for file in (ROOT / "policy").glob("config.*.json"):
        check_settings(file, RULES)
        stack = f"Pulumi.{file.name.removeprefix('config.').removesuffix('.json')}.yaml"
        assert (ROOT / stack).exists() or (ROOT / "examples" / stack).exists()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("{", "not valid JSON"),
        ([], "got a list. Write {"),
        (
            {"devices-within-limits": "advisory"},
            "no rule is named devices-within-limits. Write devices-within-limit,",
        ),
        (
            {"devices-within-limit": "warn"},
            "level 'warn' does not exist. Write one of advisory, mandatory, disabled.",
        ),
        ({"devices-within-limit": {"most": 3}}, "has no setting most. Write one of: max_devices."),
        ({"devices-within-limit": {"max_devices": "3"}}, 'max_devices is "3". Write a value of type integer'),
        (
            {"devices-within-limit": {"max_devices": True}},
            "max_devices is true. Write a value of type integer",
        ),
        ({"devices-within-limit": {"max_devices": -1}}, "of at least 0."),
        ({"all": {"enforcementLevel": "advisory", "x": 1}}, "all: takes a level only."),
        (
            {"no-nested-overlay": {"x": 1}},
            "no-nested-overlay: has no setting x. Remove it: there is nothing to set.",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_what_exists(tmp_path: Path, content: Any, line: str) -> None:
    (said,) = refused(tmp_path, content)
    assert said.startswith("config.dev.json: ")
    assert line in said


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    said = refused(
        tmp_path, {"nothing": "advisory", "devices-within-limit": {"enforcementLevel": "x", "y": 1}}
    )
    assert len(said) == 3
