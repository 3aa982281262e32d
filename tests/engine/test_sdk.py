"""What the launcher does otherwise than Pulumi's SDK: as many questions as there is news, and no failure lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pulumi
import pytest
from pulumi.runtime import resource, stack

from lab.engine_sdk import quicken
from tests.components.deploy import run

MANY = 60


class Waits:
    """Counts how often somebody waits for how many."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tasks = 0
        self._wait = asyncio.wait
        monkeypatch.setattr(asyncio, "wait", self.wait)

    async def wait(self, tasks: Any, **options: Any) -> Any:
        self.tasks += len(tasks)
        return await self._wait(tasks, **options)


# Read when tests are collected, before any of them lets the launcher change it for the rest of the session.
OWN = [
    (module, name, getattr(module, name))
    for module, name in ((stack, "asyncio"), (resource, "_get_stack_trace"), (pulumi.log, "debug"))
]


@pytest.fixture(autouse=True)
def _the_sdk_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `quicken` changes is the SDK's own before and after each test."""
    for module, name, own in OWN:
        monkeypatch.setattr(module, name, own)


def chain() -> None:
    """Outputs that are done one after the other, at the end of a program."""

    async def later(number: int) -> int:
        await asyncio.sleep(0.002 * number)
        return number

    for number in range(MANY):
        value: Any = later(number)
        pulumi.Output.from_input(value).apply(lambda found: found + 1)


def test_a_program_waits_once_for_its_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch)
    run(chain)
    slow, waits.tasks = waits.tasks, 0
    quicken(planning=True)
    run(chain)
    # The first figure is what makes the second one worth having: if the SDK mends it, this fails.
    assert slow > MANY * MANY / 2
    assert waits.tasks < MANY * 6


def test_a_failure_in_an_output_is_still_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(planning=True)

    def program() -> None:
        chain()
        pulumi.Output.from_input(1).apply(lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        run(program)


def test_only_a_preview_goes_without_the_place_in_the_program() -> None:
    def program() -> None:
        pulumi.ComponentResource("bench:index:Thing", "thing")

    quicken(planning=False)
    assert run(program)["thing"].request.sourcePosition.uri != ""
    quicken(planning=True)
    assert run(program)["thing"].request.sourcePosition.uri == ""
