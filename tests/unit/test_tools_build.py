"""Which programs are built, under which name, and which are taken as they are."""

from __future__ import annotations

import os
import re
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tools import build, golang, paths, versions
from tools.paths import ToolchainError
from tools.progress import Progress

# A stand-in for the compiler: writes what it was asked for, fails when the package is called "broken".
FAKE_GO = """#!/bin/sh
case "$1" in
  env) echo go1.26.6 ;;
  list) ;;
  build) out=; while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
    if [ "$1" = broken ]; then echo "x.go:1: undefined: y" >&2; exit 1; fi
    echo "$GOFLAGS" >"$out" ;;
esac
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAILSPAN_HOME", str(tmp_path / "home"))
    _program(tmp_path / "go" / "go", FAKE_GO)
    monkeypatch.setenv("PATH", f"{tmp_path / 'go'}:/usr/bin:/bin")
    golang.go.cache_clear()
    return tmp_path / "home"


def _program(file: Path, script: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(script)
    file.chmod(0o755)


@pytest.mark.parametrize("tool", versions.all_tools(), ids=lambda tool: tool.name)
def test_a_pinned_version_is_the_one_its_module_requires(tool: versions.Tool) -> None:
    module = (tool.module_dir / "go.mod").read_text()
    required = re.search(r"^go (\S+)$", module, re.MULTILINE)
    assert required
    assert golang._number(f"go{required[1]}") <= golang._number(f"go{versions.pinned()['go']['minimum']}")
    packages = [package for package in tool.programs.values() if package != "."]
    for package in packages:
        assert any(
            package.startswith(path) and version == f"v{tool.version}"
            for path, version in re.findall(r"^\s*(?:require )?(\S+) (v\S+)", module, re.MULTILINE)
        ), package


def test_the_engine_and_its_sdk_are_the_same_version() -> None:
    project = tomllib.loads((paths.repo_root() / "pyproject.toml").read_text())
    assert f"pulumi=={versions.version('pulumi')}" in project["project"]["dependencies"]


def test_a_program_says_its_pinned_version() -> None:
    assert f"Version=v{versions.version('pulumi')}" in versions.tool("pulumi").ldflags


def test_a_build_is_named_after_all_that_decides_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = versions.tool("pause")
    before = build.tool_dir(tool)
    assert build.tool_dir(tool) == before
    assert build.tool_dir(replace(tool, variables={"main.x": "1"})) != before
    _program(tmp_path / "go" / "go", FAKE_GO.replace("1.26.6", "1.26.9"))
    assert build.tool_dir(tool) != before


def test_a_tool_is_built_once_and_linked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(build.SCOPES, "engine", ("pause",))
    build.ensure("engine")
    linked = paths.bin_dir() / "pause"
    assert linked.resolve().parent == build.tool_dir(versions.tool("pause"))
    assert "-mod=readonly" in linked.read_text()
    assert "pause" in capsys.readouterr().out
    build.ensure("engine")
    assert capsys.readouterr().out == ""


def test_a_failed_build_shows_the_compiler_and_leaves_no_folder() -> None:
    tool = replace(versions.tool("pause"), programs={"pause": "broken"})
    with pytest.raises(ToolchainError, match=r"undefined: y(.|\n)*build-pause\.log"), Progress() as progress:
        build._build_all([tool], progress)
    assert list(paths.tools_dir().iterdir()) == []


def _pulumi(folder: Path, version: str) -> None:
    _program(folder / "pulumi", f"#!/bin/sh\necho {version}\n")


def test_an_installed_engine_of_the_pinned_version_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pulumi(tmp_path / "installed", f"v{versions.version('pulumi')}")
    monkeypatch.setenv("PATH", str(tmp_path / "installed") + os.pathsep + os.environ["PATH"])
    build.ensure("engine")
    assert (paths.bin_dir() / "pulumi").resolve() == tmp_path / "installed" / "pulumi"
    assert not paths.tools_dir().exists()


def test_an_installed_engine_of_another_version_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pulumi(tmp_path / "installed", "v3.1.0")
    _pulumi(paths.bin_dir(), f"v{versions.version('pulumi')}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'installed'}:{paths.bin_dir()}")
    assert not build._use_official(versions.tool("pulumi"))


def test_an_old_go_on_the_path_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "go" / "go", FAKE_GO.replace("1.26.6", "1.25.9"))
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ToolchainError, match=r"none pinned for riscv64.*Install Go 1\.26\.6 or newer"):
        golang.go()


@pytest.mark.parametrize(("gib", "cores", "mib"), [(24, 2, 8192), (64, 2, 8192), (16, 4, 3276), (2, 8, 512)])
def test_parallel_compilers_share_the_memory(gib: int, cores: int, mib: int) -> None:
    assert golang.memory_limit_mib(gib * 2**20, cores) == mib


def test_without_a_terminal_a_long_build_says_now_and_then_that_it_lives(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress(plain_seconds=0.05) as progress, progress.task("[1/1] x", "about 5 min") as task:
        task.say("12 packages compiled")
        time.sleep(0.2)
    out = capsys.readouterr().out
    assert "[1/1] x: started, about 5 min" in out
    assert "0:00 [1/1] x: 12 packages compiled" in out
    assert "[1/1] x: done in 0:00" in out
