"""An update goes on when something failed: what does not need it is done, and the next run does what is left."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pytest
from pulumi_command import local

from tests.engine.bench import Bench

pytestmark = pytest.mark.engine


def test_what_does_not_need_the_failed_one_is_done_and_the_rest_is_left(bench: Bench, tmp_path: Path) -> None:
    journal, alive = tmp_path / "journal", tmp_path / "alive"

    def program() -> None:
        def joins(name: str, after: list[pulumi.Resource], check: str = "true") -> local.Command:
            return local.Command(
                name,
                create=f"{check} && echo {name} >> {journal}",
                opts=pulumi.ResourceOptions(depends_on=after),
            )

        dead = joins("dead", [], f"test -e {alive}")
        joins("needs-it", [dead])
        # Begins after the failure, as a machine whose gateway takes its time.
        slow = joins("slow", [], "sleep 2")
        joins("follows", [slow])
        pulumi.export("made", dead.stdout)

    said = bench.fails("up", program)
    assert "dead" in said
    assert sorted(journal.read_text().split()) == ["follows", "slow"]
    alive.touch()
    bench.up(program)
    assert journal.read_text().split()[2:] == ["dead", "needs-it"]
    assert "no changes" in bench.up(program)
