"""Hashed names, atomic completion, locks and failures of the toolchain's store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import paths, store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAILSPAN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_every_place_lies_under_the_chosen_home(home: Path) -> None:
    places = (paths.bin_dir(), paths.logs_dir(), paths.lab_dir(), paths.pulumi_home(), paths.tools_dir())
    assert all(place.is_relative_to(home) for place in places)


@pytest.mark.parametrize("find", [paths.machine_rootfs, paths.images_archive, paths.containerd_seed])
def test_a_missing_part_names_the_command_that_makes_it(find: object) -> None:
    with pytest.raises(paths.ToolchainError, match="python -m tools lab"):
        find()  # type: ignore[operator]


def test_current_is_the_finished_build(home: Path) -> None:
    final = paths.rootfs_store() / "machine-1"
    final.mkdir(parents=True)
    store.set_current(final)
    assert paths.machine_rootfs() == final


def test_a_digest_depends_on_content_and_on_the_borders_between_parts(tmp_path: Path) -> None:
    file = tmp_path / "go.mod"
    file.write_text("module x")
    assert store.digest("a", file) == store.digest("a", "module x")
    assert store.digest("ab", "c") != store.digest("a", "bc")


def test_a_finished_build_appears_whole(home: Path) -> None:
    final = home / "tools" / "x-1"
    with store.partial(final) as work:
        (work / "program").write_text("")
        assert not final.exists()
    assert [file.name for file in final.iterdir()] == ["program"]


def test_a_failed_build_leaves_nothing(home: Path) -> None:
    with pytest.raises(RuntimeError), store.partial(home / "tools" / "x-1"):
        raise RuntimeError
    assert list((home / "tools").iterdir()) == []


def test_what_a_killed_run_left_is_removed_by_the_next(home: Path) -> None:
    (home / "tools" / ".partial-x-1-99" / "half").mkdir(parents=True)
    with store.partial(home / "tools" / "x-1"):
        pass
    assert [folder.name for folder in (home / "tools").iterdir()] == ["x-1"]


def test_a_second_run_waits_for_the_first(home: Path) -> None:
    script = "from tools import store\nwith store.locked('x', 'the test'): print('got it')"
    with store.locked("x", "the test"):
        other = subprocess.Popen(
            [sys.executable, "-u", "-c", script], cwd=paths.repo_root(), stdout=subprocess.PIPE, text=True
        )
        assert other.stdout
        assert other.stdout.readline() == "waiting for another run: the test\n"
    assert other.communicate(timeout=20)[0] == "got it\n"


def test_a_failed_command_shows_its_last_lines_and_its_log(home: Path) -> None:
    script = "for i in $(seq 30); do echo line $i; done; exit 3"
    with pytest.raises(paths.ToolchainError) as caught:
        store.run(["sh", "-c", script], log=paths.logs_dir() / "x.log")
    message = str(caught.value)
    assert "ended with 3" in message
    assert "line 30" in message
    assert "line 15" not in message
    assert str(paths.logs_dir() / "x.log") in message
