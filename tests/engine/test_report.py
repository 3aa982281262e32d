"""Reports by the real engine: three sample changes as reviewers see them, and what they must never show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from lab.engine_files import Files
from lab.plugins.rehearsal import rehearsed_stdout
from lab.preview import against_rehearsal, running_side
from lab.rehearsal import Base, rehearsed
from report.markdown import markdown
from report.model import Report
from report.sides import side_of_text
from tests.engine.bench import DEV, stack_file
from tests.stacks import ROOT, put, stack_data

# Minutes on a busy machine: an engine with four plugins and a policy pack each.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
BASE = Base("the base branch", DEV)


@pytest.fixture(scope="module")
def stage(home: Path) -> Iterator[Files]:
    """The dev stack, rehearsed once: previews change nothing of it."""
    with rehearsed("dev", BASE) as (files, _):
        yield files


def changed(stage: Files, *edits: tuple[str, Any]) -> Report:
    """The dev stack with edits, compared with the dev stack."""
    data = stack_data()
    for path, value in edits:
        put(data, path, value)
    file = stage.root / "head.yaml"
    file.write_text(stack_file(data))
    return against_rehearsal(stage, BASE, file)


def west() -> dict[str, Any]:
    region: dict[str, Any] = stack_data(ROOT / "examples" / "Pulumi.three.yaml")["regions"][-1]
    return region


def test_a_region_added(stage: Files, snapshot: SnapshotAssertion) -> None:
    report = changed(stage, ("regions.2", west()))
    assert report.verdict.ok
    assert markdown(report) == snapshot


def test_a_cidr_changed(stage: Files, snapshot: SnapshotAssertion) -> None:
    report = changed(stage, ("regions.1.pod_cidr", "10.139.0.0/16"))
    assert report.verdict.result == "refused"
    assert "region gpu: pod_cidr is 10.129.0.0/16 on its machines" in report.verdict.reasons[0]
    assert markdown(report) == snapshot


def test_a_gateway_removed(stage: Files, snapshot: SnapshotAssertion) -> None:
    report = changed(stage, ("regions.1.machines.1", ...))
    assert report.verdict.ok
    assert [effect.things for effect in report.effects if effect.kind == "drains"] == [("gpu-b",)]
    assert markdown(report) == snapshot


def test_no_change_is_no_change(stage: Files) -> None:
    report = changed(stage)
    assert (report.verdict.ok, report.steps, report.effects) == (True, (), ())
    assert report.unchanged > 40


def test_a_violated_policy_fails_the_report_with_its_remedy(stage: Files) -> None:
    report = changed(stage, ("regions.2", {**west(), "pod_cidr": "10.129.0.0/16"}))
    assert not report.verdict.ok
    said = markdown(report)
    assert "overlaps" in said
    assert "example pod\\_cidr: 10." in said


def test_the_control_planes_script_makes_what_depends_on_it_uncertain_not_restarted(stage: Files) -> None:
    report = changed(stage, ("regions.0.gateways", {"count": 1}))
    restarted = {thing for effect in report.effects if effect.kind == "restarts" for thing in effect.things}
    assert restarted == {"hub-cp-1"}
    assert any(step.unclear for step in report.steps)


def test_no_secret_is_in_a_report(stage: Files) -> None:
    report = changed(stage, ("regions.2", west()), ("regions.1.machines.1", ...))
    whole = markdown(report) + json.dumps(report.as_json())
    for secret in (
        "offline-preview",
        "rehearsed-key",
        json.loads(rehearsed_stdout())["kubeconfig"],
        "0" * 64,
    ):
        assert secret not in whole


def test_a_running_stack_says_what_it_was_made_from(stage: Files) -> None:
    assert running_side(stage).plan == side_of_text(DEV, "Pulumi.dev.yaml").plan
