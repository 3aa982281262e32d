"""What the stand-ins do not do, said by the real engine."""

from __future__ import annotations

import pulumi
import pytest
from pulumi_command import local

from tests.engine.bench import Bench

pytestmark = pytest.mark.engine


def test_a_stack_outside_the_lab_is_told_how_to_get_the_official_plugin(bench: Bench) -> None:
    def program() -> None:
        local.Command("here", create="true")

    text = bench.fails("preview", program, mode="elsewhere")
    assert "pulumi-resource-command on PATH is tailspan's stand-in" in text
    assert "PULUMI_IGNORE_AMBIENT_PLUGINS=1" in text


def test_an_unknown_type_names_the_known_ones(bench: Bench) -> None:
    def program() -> None:
        pulumi.CustomResource("command:local:Nonsense", "thing", {})

    text = bench.fails("preview", program)
    assert "has no resource type command:local:Nonsense" in text
    assert "It knows: command:local:Command, command:remote:Command." in text
