"""A mandatory policy stops a preview, in the real engine and without a language host."""

from __future__ import annotations

from pathlib import Path

import pytest
from pulumi_command import local

from tests.engine.bench import Bench

pytestmark = pytest.mark.engine
PACK = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

def no_sleep(args, report):
    if "sleep" in args.props.get("create", ""):
        report("commands do not sleep; write a loop that looks")

PolicyPack("bench", policies=[ResourceValidationPolicy("no-sleep", "Commands do not sleep.", no_sleep,
    EnforcementLevel.MANDATORY)])
"""


def test_a_mandatory_violation_fails_the_preview_and_says_what_to_write(bench: Bench, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 0.1.0\n")
    (pack / "__main__.py").write_text(PACK)
    bench.policy_packs = [str(pack)]

    def lazy() -> None:
        local.Command("lazy", create="sleep 1")

    def busy() -> None:
        local.Command("busy", create="true")

    text = bench.fails("preview", lazy)
    assert "policy no-sleep (mandatory) on command:Command lazy:" in text
    assert "commands do not sleep; write a loop that looks" in text
    assert bench.run("preview", busy).ok
