"""
What a first boot reads (providers/aws/machines.py): a change alone touches nothing that runs, and whoever is replaced
gets the new values. That an engine which ignores a change still replaces with it is not documented, so it is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from tests.engine.bench import Bench

pytestmark = pytest.mark.engine


def test_ignored_inputs_are_those_of_now_when_a_new_generation_replaces(bench: Bench, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    machine: dict[str, Any] = {"boot": "one", "generation": 1}

    def program() -> None:
        local.Command(
            "machine",
            create=f"echo boots with $BOOT >> {journal}",
            update="false",
            delete=f"echo ends >> {journal}",
            environment={"BOOT": machine["boot"]},
            opts=pulumi.ResourceOptions(
                ignore_changes=["environment"],
                replacement_trigger=pulumi.Output.from_input(machine["generation"]),
                delete_before_replace=True,
            ),
        )

    def journal_after(**changes: object) -> list[str]:
        machine.update(changes)
        bench.up(program)
        return journal.read_text().splitlines()

    first = ["boots with one"]
    assert journal_after() == first
    assert journal_after(boot="two") == first
    assert journal_after(generation=2) == [*first, "ends", "boots with two"]
    assert journal_after(boot="three") == [*first, "ends", "boots with two"]
    assert "no changes" in bench.up(program)
    assert journal_after(generation=3) == [*first, "ends", "boots with two", "ends", "boots with three"]
