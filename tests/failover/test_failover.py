"""Every failure of the table once, with the agent and as the article has it: it converges, and it is the better one.

How fast is a matter of many runs on a quiet machine (`make bench-failover`); here a busy one must not fail.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.rig import result, table
from lab.rig.catalogue import EVENTS
from lab.rig.events import Event, Step
from lab.rig.result import Result
from tests.lab.stand import FIGURES
from tools import paths

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

STEPS = [(event, step) for event, step in table.rows() if event in EVENTS and event.name != "nothing"]
# What the article's setup never recovers from by itself: its gateway stays online for the control server.
NEVER = ("lan_dead", "no_forwarding")


def measured(setup: str, folder: Path, *words: str) -> list[Result]:
    file = folder / f"{setup}.jsonl"
    argv = [
        sys.executable,
        "-m",
        "lab.rig",
        "--keep",
        str(folder / "logs"),
        "measure",
        setup,
        str(file),
        *words,
    ]
    done = subprocess.run(
        argv, cwd=paths.repo_root(), capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return result.read([file])


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    return measured("agent", tmp_path_factory.mktemp("failover"), "--patience", "20")


@pytest.fixture(scope="module")
def article(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    words = ["--events", ",".join(("power_off", *NEVER)), "--patience", "6"]
    return measured("article", tmp_path_factory.mktemp("article"), *words)


def of(results: list[Result], event: str, part: str = "failure") -> Result:
    return next(one for one in results if (one.event, one.part) == (event, part))


@pytest.mark.parametrize(("event", "step"), STEPS, ids=[f"{event.name}-{step.part}" for event, step in STEPS])
def test_it_converges_and_nothing_inside_the_region_is_lost(
    ours: list[Result], event: Event, step: Step
) -> None:
    one = of(ours, event.name, step.part)
    FIGURES.append(f"{step.title}: {table.cell([one], step)}")
    assert one.recovered
    assert one.lost_inside == 0
    assert one.broken == 0
    assert one.changes == []


LOSSLESS = ("drain", "rolling", "reboot", "kill_agent", "agents", "control")


@pytest.mark.parametrize("event", LOSSLESS)
def test_what_is_planned_or_harmless_loses_not_one_probe(ours: list[Result], event: str) -> None:
    one = of(ours, event)
    assert one.lost == {"in": 0, "out": 0}


def test_the_articles_setup_stays_broken_where_ours_recovers(
    ours: list[Result], article: list[Result]
) -> None:
    for event in NEVER:
        assert not of(article, event).recovered
        assert of(ours, event).recovered


def test_a_power_off_costs_less_than_in_the_articles_setup(ours: list[Result], article: list[Result]) -> None:
    theirs, mine = of(article, "power_off"), of(ours, "power_off")
    assert mine.working == mine.flows > theirs.working > 0
    assert not theirs.recovered or max(mine.gap.values()) < max(theirs.gap.values())


def test_the_table_names_every_event_that_was_run(ours: list[Result]) -> None:
    assert {one.event for one in ours} == {event.name for event in EVENTS}
