"""The report from two stack files and the engine's events: what it concludes, and what it lets nobody slip in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from report.build import build_report
from report.events import read_events
from report.files import SUMMARY, write
from report.markdown import LONGEST_COMMENT, markdown, text
from report.model import Report
from report.sides import NOTHING, Side, side_of, side_of_text
from report.terminal import show
from report.values import UNKNOWN_TEXT
from tests.stacks import put, stack_data

STACK = "urn:pulumi:dev::tailspan::pulumi:pulumi:Stack::tailspan-dev"
GPU_REGION = "urn:pulumi:dev::tailspan::tailspan:components:GpuProviderRegion::gpu"
END = {"summaryEvent": {"result": "succeeded"}}
Event = dict[str, Any]


def side(*edits: tuple[str, Any]) -> Side:
    data = stack_data()
    for path, value in edits:
        put(data, path, value)
    return side_of(data, "Pulumi.dev.yaml")


def urn(token: str, name: str) -> str:
    return f"urn:pulumi:dev::tailspan::tailspan:components:GpuProviderRegion${token}::{name}"


def step(
    op: str, token: str, name: str, diff: dict[str, tuple[Any, Any]] | None = None, *, forced: bool = False
) -> Event:
    """One resource of region gpu, as the engine writes it."""
    kind = "update-replace" if forced else "update"
    state = {"custom": True, "parent": GPU_REGION}
    metadata = {
        "op": op,
        "urn": urn(token, name),
        "type": token,
        "old": {**state, "inputs": {path: old for path, (old, _) in (diff or {}).items()}},
        "new": {**state, "inputs": {path: new for path, (_, new) in (diff or {}).items()}},
        "detailedDiff": {path: {"diffKind": kind} for path in diff or {}},
    }
    return {"resourcePreEvent": {"metadata": metadata}}


def said(severity: str, message: str, about: str = STACK) -> Event:
    return {"diagnosticEvent": {"severity": severity, "message": message, "urn": about}}


def objection(level: str, message: str) -> Event:
    return {
        "policyEvent": {
            "policyName": "no-overlap",
            "enforcementLevel": level,
            "severity": "high",
            "resourceUrn": STACK,
            "message": message,
        }
    }


def judged(*passed: str) -> Event:
    return {"policyAnalyzeStackSummaryEvent": {"passed": list(passed)}}


def report(
    *events: Event, before: Side | None = None, after: Side | None = None, failure: str = ""
) -> Report:
    return build_report(
        "dev",
        side() if before is None else before,
        side() if after is None else after,
        read_events(events),
        compared_with="the base",
        failure=failure,
    )


def test_a_change_that_nobody_objects_to_passes() -> None:
    made = report(step("create", "lab:index:Machine", "gpu-d"), judged("one", "two"), END)
    assert made.verdict.ok
    assert made.verdict.headline == "1 to create, 0 unchanged. Nothing that runs is interrupted."
    assert "all 2 rules passed." in markdown(made)
    assert [(one.region, one.name) for one in made.steps] == [("gpu", "gpu-d")]


@pytest.mark.parametrize(
    ("events", "result"),
    [
        ([said("error", "no range left")], "refused"),
        ([objection("mandatory", "they overlap"), END], "violates"),
        (
            [objection("mandatory", "region gpu: could not be judged, input x is not known"), END],
            "cannot judge",
        ),
        ([objection("advisory", "can't run policy 'no-overlap' during preview: ..."), END], "cannot judge"),
        ([judged("one")], "failed"),
        ([{"summaryEvent": {"result": "failed"}}], "failed"),
    ],
)
def test_what_is_no_consent_fails(events: list[Event], result: str) -> None:
    made = report(*events)
    assert (made.verdict.result, made.verdict.ok) == (result, False)
    assert json.loads(json.dumps(made.as_json()))["ok"] is False
    assert markdown(made).splitlines()[2].startswith("❌")


def test_an_advisory_objection_is_shown_and_passes() -> None:
    made = report(objection("advisory", "think of it"), judged("other"), END)
    assert made.verdict.ok
    assert "1 objected, 1 passed." in markdown(made)
    assert "- **no-overlap** (advisory) on pulumi:Stack tailspan-dev: think of it" in markdown(made)


def test_a_failure_without_an_event_says_what_the_command_line_said() -> None:
    assert report(failure="cannot read the state").verdict.reasons == ("cannot read the state",)


def test_a_refused_change_shows_addresses_and_not_how_far_the_program_got() -> None:
    made = report(
        step("replace", "lab:index:Machine", "gpu-a"),
        judged("one"),
        said("error", "this change cannot be made to a running cluster"),
        said("error", "an unhandled error occurred: program exited"),
        said("error", "preview failed"),
        after=side(("regions.1.pod_cidr", "10.139.0.0/16")),
    )
    assert made.verdict.reasons == ("this change cannot be made to a running cluster",)
    assert (made.steps, made.effects, made.rules, made.unchanged) == ((), (), (), 0)
    assert "10.129.0.0/16 → **10.139.0.0/16**" in markdown(made)


def test_a_broken_plan_still_shows_the_ranges() -> None:
    made = report(said("error", "they overlap"), after=side(("regions.1.pod_cidr", "10.128.0.0/16")))
    assert "10.129.0.0/16 → **10.128.0.0/16**" in markdown(made)
    assert [link.after for link in made.links] == [""]


def test_a_base_that_cannot_be_read_is_a_note_and_no_objection() -> None:
    made = report(END, before=side_of_text("config: {tailspan:stack: 1}", "Pulumi.dev.yaml"))
    assert made.verdict.ok
    assert any(note.startswith("before: Pulumi.dev.yaml: tailspan:stack: got 1") for note in made.notes)
    assert (
        report(END, before=side_of_text("a: [", "Pulumi.dev.yaml"))
        .notes[0]
        .startswith("before: Pulumi.dev.yaml: not")
    )


def test_a_stack_that_comes_or_goes_has_one_side() -> None:
    assert [link.before for link in report(END, before=NOTHING).links] == [""]
    gone = report(END, after=NOTHING)
    assert [row.after for row in gone.summary] == [""] * len(gone.summary)
    assert "direct → no region" in markdown(gone)


def test_what_is_interrupted_is_said_with_its_reason() -> None:
    made = report(
        step("replace", "lab:index:Machine", "gpu-c", {"generation": (1, 2)}, forced=True),
        step("delete", "lab:index:Machine", "gpu-b"),
        step("delete", "command:local:Command", "gpu-b-join"),
        step("delete", "command:remote:Command", "gpu-b-bootstrap"),
        step("update", "command:remote:Command", "gpu-a-bootstrap", {"stdin": ("a", "b")}),
        step("update", "kubernetes:apps/v1:Deployment", "gpu-dns", {"spec.template": ("a", "b")}),
        step("update", "lab:index:Firewall", "gpu-gateways-firewall", {"ingress": ("a", "b")}),
        END,
    )
    told = {(effect.kind, effect.things) for effect in made.effects}
    assert told == {
        ("replaces", ("gpu-c",)),
        ("drains", ("gpu-b",)),
        ("restarts", ("gpu-a",)),
        ("restarts", ("gpu-dns",)),
        ("changes", ("gpu-gateways-firewall",)),
    }
    assert made.verdict.headline.endswith("Of what runs, 1 made anew, 1 drained or removed, 2 restarted.")
    shown = markdown(made)
    assert "generation: 1 → 2 (replaces)" in shown
    assert "its tailnet device goes, and its region's other gateways carry on" in shown


def test_an_update_that_only_the_update_knows_may_change() -> None:
    unknown = step("update", "command:local:Command", "gpu-a-join", {"stdin": ("a", UNKNOWN_TEXT)})
    in_cluster = step("update", "kubernetes:core/v1:ConfigMap", "dns-config")
    warned = said(
        "warning",
        "The provider for this resource has inputs that are not known during preview.\nThis preview may not ...",
        urn("kubernetes:core/v1:ConfigMap", "dns-config"),
    )
    made = report(unknown, in_cluster, warned, END)
    assert made.verdict.headline == "2 that may change, 0 unchanged. Nothing that runs is interrupted."
    assert made.notes == ()
    assert "**What may change**: 2 resources" in markdown(made)


def test_a_secret_is_never_shown() -> None:
    mark = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": '"hunter2"'}
    made = report(
        step("update", "command:local:Command", "x", {"stdin": (mark, {**mark, "plaintext": '"swordfish"'})}),
        END,
    )
    whole = markdown(made) + json.dumps(made.as_json())
    assert "[secret]" in whole
    assert "hunter2" not in whole
    assert "swordfish" not in whole


def test_messages_mean_only_themselves_in_markdown() -> None:
    assert text("a|b") == r"a\|b"
    assert text("<img src=x>") == "&lt;img src=x&gt;"
    assert text("[x](http://y)\n@team") == "\\[x\\](http://y)<br>@\u200bteam"
    made = report(said("error", "```\n</details>\n```"))
    assert "````text\n```\n</details>\n```\n````" in markdown(made)


def test_a_comment_is_never_too_long_for_github() -> None:
    steps = [step("create", "lab:index:Machine", f"gpu-{number}-{'x' * 100}") for number in range(1000)]
    made = markdown(report(*steps, END))
    assert len(made) <= LONGEST_COMMENT
    assert made.count("<details>") == made.count("</details>")
    assert "The rest is left out here" in made


def test_the_terminal_says_the_verdict_last(capsys: pytest.CaptureFixture[str]) -> None:
    show(report(objection("mandatory", "they overlap [bold]"), END), Console(width=120, no_color=True))
    printed = capsys.readouterr().out
    assert "policy no-overlap (mandatory) on pulumi:Stack tailspan-dev:\n    they overlap [bold]" in printed
    assert printed.splitlines()[-1].startswith("violates: 1 rule is violated")


def test_a_report_is_written_for_people_and_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUMMARY, str(tmp_path / "summary"))
    made = report(END)
    write(made, tmp_path / "out")
    assert (tmp_path / "out" / "dev.md").read_text() == markdown(made) == (tmp_path / "summary").read_text()
    assert json.loads((tmp_path / "out" / "dev.json").read_text())["verdict"]["result"] == "passes"
