"""Every example under the real engine: it previews with all policies and no account, and makes these resources."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from lab.preview import Options, against_rehearsal, against_state, preview
from lab.rehearsal import Base, rehearsed
from report.model import Report
from tests.stacks import ROOT, STACK_FILES, put

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


@pytest.mark.parametrize(
    ("stack", "machine_type"),
    [
        ("gke-hyperstack", "e2-standard-8"),
        ("gcp-kubeadm", "e2-standard-8"),
        ("aws-eks-hybrid", "c6in.xlarge"),
        ("aws-kubeadm", "c6in.xlarge"),
    ],
)
def test_other_gateway_machines_touch_nothing_but_themselves(
    home: Path, stack: str, machine_type: str
) -> None:
    text = (ROOT / "examples" / f"Pulumi.{stack}.yaml").read_text()
    base = Base("the example", text)
    with rehearsed(stack, base) as (files, _):
        data = yaml.safe_load(text)
        put(data["config"]["tailspan:stack"], "regions.0.gateways.machine_type", machine_type)
        head = files.root / "head.yaml"
        head.write_text(yaml.safe_dump(data))
        report = against_rehearsal(files, base, head)
    assert (report.verdict.ok, report.findings) == (True, ())
    assert [(step.op, step.name) for step in report.steps] == [("update", "hub-gw-1"), ("update", "hub-gw-2")]
    assert [(effect.kind, effect.things) for effect in report.effects] == [
        ("restarts", ("hub-gw-1", "hub-gw-2"))
    ]


@pytest.mark.parametrize("stack", ["gcp-kubeadm", "aws-kubeadm"])
def test_a_smaller_group_loses_its_last_machine_and_nothing_else(home: Path, stack: str) -> None:
    text = (ROOT / "examples" / f"Pulumi.{stack}.yaml").read_text()
    base = Base("the example", text)
    with rehearsed(stack, base) as (files, _):
        data = yaml.safe_load(text)
        put(data["config"]["tailspan:stack"], "regions.0.node_groups.0.count", 1)
        head = files.root / "head.yaml"
        head.write_text(yaml.safe_dump(data))
        report = against_rehearsal(files, base, head)
    assert report.verdict.ok
    gone = {step.name for step in report.steps if step.op == "delete"}
    assert gone == {name for name in gone if name.startswith("hub-cpu-2")} != set()
    assert not [step for step in report.steps if step.op == "replace"]
