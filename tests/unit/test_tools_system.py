"""What is asked of the host, and which mirror the machines come from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools import paths, system
from tools.paths import ToolchainError

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: {suite} {suite}-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: {suite}-security
Components: main
"""


def _etc(tmp_path: Path, distribution: str, **files: str) -> Path:
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "os-release").write_text(f'NAME="x"\nID={distribution}\n')
    for name, content in files.items():
        place = "apt/sources.list" if name == "list" else f"apt/sources.list.d/x.{name}"
        (tmp_path / place).write_text(content)
    return tmp_path


@pytest.fixture(autouse=True)
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAILSPAN_DEBIAN_MIRROR", raising=False)


def test_the_mirror_of_the_host_is_used(tmp_path: Path) -> None:
    etc = _etc(tmp_path, "debian", sources=DEB822.format(suite="bookworm"))
    assert system.debian_mirror(etc) == "http://mirror.example/debian"


def test_one_line_sources_are_read_too(tmp_path: Path) -> None:
    lines = "# deb http://no.example/debian bookworm main\ndeb-src http://no.example/debian bookworm main\n"
    etc = _etc(
        tmp_path, "debian", list=lines + "deb [arch=amd64] http://yes.example/debian bookworm main contrib\n"
    )
    assert system.debian_mirror(etc) == "http://yes.example/debian"


def test_a_debian_host_of_another_release_has_the_right_mirror(tmp_path: Path) -> None:
    etc = _etc(tmp_path, "debian", sources=DEB822.format(suite="trixie"))
    assert system.debian_mirror(etc) == "http://mirror.example/debian"


def test_another_distribution_is_told_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etc = _etc(tmp_path, "ubuntu", list="deb http://mirror.example/ubuntu noble main universe\n")
    with pytest.raises(ToolchainError, match="TAILSPAN_DEBIAN_MIRROR"):
        system.debian_mirror(etc)
    monkeypatch.setenv("TAILSPAN_DEBIAN_MIRROR", "http://chosen.example/debian")
    assert system.debian_mirror(etc) == "http://chosen.example/debian"


def test_only_packages_of_absent_programs_are_installed() -> None:
    assert system.missing_packages(lambda program: program not in ("nft", "ip")) == [
        "iproute2",
        "nftables",
    ]


def test_all_that_is_missing_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILSPAN_HOME", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(system, "install_packages", lambda: ["apt-get could not install lxc"])
    monkeypatch.setattr(system, "missing_packages", lambda: [])
    monkeypatch.setattr(system, "DISK_GIB_BUILD", 1e9)
    monkeypatch.setattr(
        system, "_fails", lambda command: "Unknown device type" if "vxlan" in command[-1] else ""
    )
    with pytest.raises(ToolchainError) as caught:
        system.ensure()
    message = str(caught.value)
    assert "apt-get could not install lxc" in message
    assert "set TAILSPAN_HOME" in message
    assert "a VXLAN device (Unknown device type): it needs kernel module vxlan" in message


def test_setup_does_nothing_when_all_is_current(tmp_path: Path) -> None:
    """It runs before every make target: it must cost nothing."""
    (tmp_path / "tools").mkdir()
    script = (paths.repo_root() / "tools/setup.sh").read_text()
    (tmp_path / "tools/setup.sh").write_text(script)
    (tmp_path / "uv.lock").write_text("")
    for program in (".venv/bin/python", "home/uv/bin/uv"):
        (tmp_path / program).parent.mkdir(parents=True)
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    stamp = subprocess.check_output(
        "cat uv.lock tools/setup.sh | sha256sum | cut -c1-16", shell=True, cwd=tmp_path, text=True
    )
    (tmp_path / ".venv/.tailspan").write_text(f"{stamp.strip()} --dev\n")
    for arguments in ([], ["--dev"]):
        done = subprocess.run(
            ["sh", tmp_path / "tools/setup.sh", *arguments],
            env={"PATH": "/usr/bin:/bin", "TAILSPAN_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == done.stderr == ""
