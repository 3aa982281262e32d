"""Killed at any moment, the next run converges."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pulumi_command import local

from lab.engine_files import Files
from lab.engine_recovery import mend_state
from tests.engine.bench import Bench
from tools import paths

pytestmark = pytest.mark.engine

KILLED = """
import sys
from pathlib import Path
from lab.engine import Session
from lab.engine_files import Files
from pulumi_command import local

def program():
    first = local.Command("first", create="echo first >> {journal}", delete="true")
    local.Command("slow", create="echo started >> {journal}; sleep 30; echo ended >> {journal}")

Session(Files("dev", Path({copy!r}), Path({source!r})), "lab", program, policy_packs=[]).run("up")
"""


def start_up(bench: Bench, journal: Path) -> subprocess.Popen[bytes]:
    text = KILLED.format(journal=journal, copy=str(bench.files.root), source=str(bench.files.source))
    return subprocess.Popen(
        [sys.executable, "-c", text], cwd=paths.repo_root(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def wait_for(journal: Path, line: str) -> None:
    deadline = time.monotonic() + 40
    while not journal.exists() or line not in journal.read_text():
        assert time.monotonic() < deadline, f"{line!r} never came"
        time.sleep(0.05)


def processes_with(text: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("whole_group", [True, False], ids=["engine-and-launcher", "launcher-only"])
def test_a_killed_up_leaves_no_process_and_the_next_one_converges(
    bench: Bench, tmp_path: Path, whole_group: bool
) -> None:
    journal = tmp_path / "journal"
    victim = start_up(bench, journal)
    wait_for(journal, "started")
    if whole_group:
        os.killpg(victim.pid, signal.SIGKILL)
    else:
        victim.kill()
    victim.wait()

    def program() -> None:
        local.Command("first", create=f"echo first >> {journal}", delete="true")
        local.Command("slow", create=f"echo again >> {journal}")

    text = bench.up(program)
    assert "again" in journal.read_text()
    assert "ended" not in journal.read_text()
    assert "pending_operations" not in bench.files.latest() or not bench.files.latest()["pending_operations"]
    assert "no changes" in bench.up(program), text
    assert processes_with(f"started >> {journal}") == []


def test_two_runs_at_once_are_refused(bench: Bench, tmp_path: Path) -> None:
    from lab.engine_files import EngineError
    from lab.engine_recovery import only_launcher

    with (
        only_launcher(bench.files),
        pytest.raises(EngineError, match=f"another run is at work on it .process {os.getpid()}"),
    ):
        bench.run("up", lambda: None)


def test_a_sidecar_that_was_cut_off_does_not_make_the_state_unreadable(tmp_path: Path) -> None:
    files = Files("dev", tmp_path, tmp_path)
    stacks = files.state_dir / ".pulumi" / "stacks"
    stacks.mkdir(parents=True)
    whole, broken = stacks / "whole.json.attrs", stacks / "dev.json.attrs"
    whole.write_text('{"user.content_type": "application/json"}')
    broken.touch()
    mend_state(files)
    assert whole.exists()
    assert not broken.exists()
