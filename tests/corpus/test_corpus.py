"""Broken stacks are refused with the remedy, where they must be; unusual ones pass through everything."""

from __future__ import annotations

from typing import Any

import pytest

from policy.rules import RULES
from tests.corpus.path import ACCEPTED, base, cases, edited, ends

BROKEN, UNUSUAL = cases("broken.yaml"), cases("unusual.yaml")
BASES = sorted({case["base"] for case in BROKEN + UNUSUAL})


def test_the_corpus_is_large_enough() -> None:
    assert len({case["mistake"] for case in BROKEN}) == len(BROKEN) >= 55
    assert len({case["stack"] for case in UNUSUAL}) == len(UNUSUAL) >= 14


@pytest.mark.parametrize("name", BASES)
def test_a_base_is_good_as_it_is(name: str) -> None:
    assert ends(base(name)) == [ACCEPTED]


@pytest.mark.parametrize("case", UNUSUAL, ids=lambda case: case["stack"])
def test_an_unusual_stack_is_accepted(case: dict[str, Any]) -> None:
    assert edited(case) != base(case["base"])
    assert ends(edited(case)) == [ACCEPTED]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case["mistake"])
def test_a_broken_stack_is_refused_with_its_remedy(case: dict[str, Any]) -> None:
    found = {end.by: end.lines for end in ends(edited(case))}
    assert case["caught by"] in found, found
    lines = found[case["caught by"]]
    for what, remedy in case["says"]:
        assert any(what in line and remedy in line for line in lines), lines
    # One mistake, and not a second one that a careless edit brought along.
    assert len(lines) == len(case["says"]), lines


def test_every_refusal_is_by_something_that_exists() -> None:
    assert {case["caught by"] for case in BROKEN} <= {"schema", "plan", *(rule.name for rule in RULES)}
