"""A rehearsal gives a preview something to compare with and touches nothing; the official command line beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.engine_cli import environment
from lab.engine_files import EngineError, Files
from lab.plugins import command, kubernetes, lab, tailscale
from lab.plugins.base import PluginError
from lab.plugins.rehearsal import REHEARSED_HOST_KEY, THROW_AWAY, refuse_lasting_state
from lab.preview import Options, against_base, against_state, preview
from lab.rehearsal import Base, find_base, rehearsed
from report.live import live_report
from tests.engine.bench import DEV, Aborted, Plugin, stack_file, urn
from tests.stacks import ROOT, put, ssh_region, stack_data

# Minutes on a busy machine: two engines with four plugins each.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def test_a_new_stack_has_no_before(tmp_path: Path) -> None:
    report = against_base("dev", Base("the base branch", None), ROOT / "Pulumi.dev.yaml")
    assert report.verdict.ok
    assert {step.op for step in report.steps} == {"create"}
    assert report.summary[0].before == ""
    assert "does not exist" in report.compared_with


def test_a_deleted_stack_has_no_after() -> None:
    data = stack_data(ROOT / "examples" / "Pulumi.three.yaml")
    report = against_base("gone", Base("the base branch", stack_file(data)))
    # Its control plane is protected: whoever means it must say so to the engine first.
    assert report.verdict.result == "refused"
    assert "protected" in "\n".join(report.verdict.reasons)
    assert [row.after for row in report.summary] == [""] * len(report.summary)


def test_machines_at_a_seller_in_a_hosted_tailnet_are_previewed_without_an_account(tmp_path: Path) -> None:
    data = stack_data()
    data["tailnet"] = {"kind": "tailscale", "name": "example.com", "version": "1.102.3"}
    before = stack_file(data)
    put(
        data,
        "regions.2",
        ssh_region(gateway_firewall=data["regions"][1]["gateway_firewall"], seller="runpod"),
    )
    file = tmp_path / "head.yaml"
    file.write_text(stack_file(data))
    report = against_base("dev", Base("the base branch", before), file)
    assert report.verdict.ok, report.verdict
    assert {step.region for step in report.steps if step.op == "create"} == {"tx"}


def test_without_a_base_everything_is_new() -> None:
    report = against_state("dev")
    assert report.verdict.ok
    assert {step.op for step in report.steps} == {"create"}
    assert report.rules


def test_a_commit_brings_its_own_program_to_the_rehearsal() -> None:
    base = find_base("dev", "HEAD")
    assert base.ref
    with rehearsed("dev", base) as (files, remark):
        assert remark == ""
        assert files.is_up()
    assert not files.is_up()


def test_a_base_that_is_neither_file_nor_commit_is_refused() -> None:
    with pytest.raises(EngineError, match=r"base origin/nowhere: neither a file nor a commit here; write"):
        find_base("dev", "origin/nowhere")


def test_a_base_that_no_program_runs_says_why() -> None:
    broken = stack_file(put(stack_data(), "regions.1.pod_cidr", "10.128.0.0/16"))
    with (
        pytest.raises(EngineError, match=r"the base, main, cannot be rehearsed:\n.*overlaps"),
        rehearsed("dev", Base("main", broken)),
    ):
        pass


def test_the_exit_status_says_whether_the_change_can_be_made(tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text(stack_file(put(stack_data(), "regions.1.pod_cidr", "10.139.0.0/16")))
    assert preview("dev", Options(str(base), tmp_path / "out")) == 1
    assert json.loads((tmp_path / "out" / "dev.json").read_text())["verdict"]["result"] == "refused"
    assert preview("dev", Options()) == 0


# -- a rehearsal touches nothing


@pytest.mark.parametrize("backend", ["", "https://api.pulumi.com", "gs://bucket", "file:///var/lib/state"])
def test_a_rehearsal_refuses_every_lasting_state(backend: str) -> None:
    with pytest.raises(PluginError, match="is not marked as one to throw away"):
        refuse_lasting_state(backend)


def test_only_the_rehearsals_own_folder_is_marked(tmp_path: Path) -> None:
    (tmp_path / THROW_AWAY).touch()
    refuse_lasting_state(f"file://{tmp_path}")
    for files in (Files.of_lab("dev"), Files.of_preview("dev")):
        with pytest.raises(PluginError, match="not marked"):
            refuse_lasting_state(environment(files, "rehearsal")["PULUMI_BACKEND_URL"])


def rehearsing(package: Any) -> Plugin:
    plugin = Plugin(package)
    plugin.servicer.mode = "rehearsal"
    return plugin


@pytest.mark.parametrize("package", [command.package, kubernetes.package, lab.package, tailscale.package])
def test_a_rehearsal_updates_and_deletes_nothing(package: Any) -> None:
    token = next(iter(package.resources))
    same = {"id": "x", "news": {}, "olds": {}, "old_inputs": {}, "properties": {}}
    for method in ("Update", "Delete"):
        with pytest.raises(Aborted, match="this is a rehearsal, nothing may be changed"):
            getattr(rehearsing(package), method)(urn=urn(token), **same)


def test_a_rehearsed_command_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    rehearsing(command.package).Create(
        urn=urn("command:local:Command"), properties={"create": f"touch {trace}"}
    )
    assert not trace.exists()
    Plugin(command.package).Create(urn=urn("command:local:Command"), properties={"create": f"touch {trace}"})
    assert trace.exists()


def test_a_rehearsed_machine_has_nobodys_key() -> None:
    inputs = {"name": "a", "network": "n", "role": "worker", "nodeIp": "10.0.0.9"}
    _, outputs = lab.Machine().rehearse(Plugin(lab.package).servicer._call(urn("lab:index:Machine")), inputs)
    assert outputs["hostKey"] == REHEARSED_HOST_KEY
    assert outputs["sshHost"] == "10.0.0.9"


# -- the official command line


def test_a_stack_that_the_official_command_line_cannot_preview_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: bench\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(DEV)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
    report = live_report("dev", tmp_path)
    assert report.verdict.result == "failed"
    assert "no stack named 'dev' found" in "\n".join(report.verdict.reasons)
