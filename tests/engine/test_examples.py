"""Every example under the real engine: it previews with all policies and no account, and makes these resources."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from lab.preview import Options, against_state, preview
from report.model import Report
from tests.stacks import STACK_FILES

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
EXAMPLES = [path.name.split(".")[1] for path in STACK_FILES if path.parent.name == "examples"]


def graph(report: Report) -> list[str]:
    """Every step as one line: what is done to which resource."""
    return sorted(f"{step.op} {step.token} {step.name}" for step in report.steps)


@pytest.mark.parametrize("stack", EXAMPLES)
def test_an_example_previews_and_makes_these_resources(
    home: Path, stack: str, snapshot: SnapshotAssertion
) -> None:
    report = against_state(stack)
    assert report.verdict.ok, report.verdict.reasons
    assert (report.complete, report.findings) == (True, ())
    assert report.unchanged == 0
    lines = graph(report)
    # Two resources of one type and name would hide each other in the snapshot.
    assert [line for line, times in Counter(lines).items() if times > 1] == []
    assert lines == snapshot


def test_the_command_of_a_pull_request_says_yes_to_an_example(home: Path, tmp_path: Path) -> None:
    assert preview("gke-hyperstack", Options(folder=tmp_path)) == 0
    text = "\n".join(path.read_text() for path in tmp_path.iterdir())
    assert "hyper" in text
    # What stands in for a key in a preview is no key, and not shown either.
    assert "offline-preview" not in text
