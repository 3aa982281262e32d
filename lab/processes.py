"""Programs that the lab leaves running: started in sessions of their own, found again in /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lab import addresses
from lab.shell import NAMESPACES, LabError
from tools import paths

_CGROUPS = Path("/sys/fs/cgroup")
# Only these are ended for having the lab's folder in their command line: an editor open on a log is not ours.
_OURS = ("lxc-start", "headscale", "ssh-agent")
_MONITOR = "[lxc monitor]"


def start_daemon(argv: Sequence[str | Path], log: Path) -> int:
    """Starts a program that outlives this one and its terminal; a Ctrl-C here does not reach it."""
    with log.open("ab") as out:
        command = [str(word) for word in argv]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", start_new_session=True
        ).pid


def daemon(program: str) -> int | None:
    """The pid of this lab's running headscale or ssh-agent."""
    return next((pid for pid, line in _lab_commands() if Path(line.split("\0")[0]).name == program), None)


def everything() -> dict[int, str]:
    """Every process of this lab: in its machines, in its namespaces, or known by its command line."""
    pids = {*in_machines(), *_in_namespaces(), *(pid for pid, _ in _lab_commands())}
    # A shell that somebody put into a namespace by hand may well be what runs this program.
    pids -= {os.getpid(), os.getppid()}
    return {pid: _command_line(pid).replace("\0", " ").strip() for pid in sorted(pids)}


def monitors() -> set[int]:
    """LXC's process per machine that waits for the machine's end."""
    return {pid for pid, line in _lab_commands() if line.startswith(_MONITOR)}


def in_machines() -> set[int]:
    pids = set()
    for folder in cgroup_folders():
        # os.walk passes over what vanishes meanwhile, as a dying machine's folders do.
        for group, _, _ in os.walk(folder / "machine"):
            with suppress(OSError):
                pids |= {int(word) for word in Path(group, "cgroup.procs").read_text().split()}
    return pids - {0}


def cgroup_folders() -> list[Path]:
    """The lab's folder in each cgroup hierarchy (one in cgroup v2)."""
    tops = [_CGROUPS, *_CGROUPS.iterdir()] if _CGROUPS.is_dir() else []
    return [top / addresses.CGROUP for top in tops if (top / addresses.CGROUP).is_dir()]


def end(pids: Iterable[int], *, within: float) -> set[int]:
    """SIGKILLs processes and waits until they are gone; returns those that are still there."""
    left = set(pids)
    for pid in left:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + within
    while left := {pid for pid in left if alive(pid)}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return left


def alive(pid: int) -> bool:
    """A zombie counts as gone: its parent, perhaps a plugin, will collect it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_for(what: str, log: Path, answers: Callable[[], bool], *, within: float, pid: int) -> None:
    """Waits until `answers` is true; says the log's end when the program died or never answered."""
    deadline = time.monotonic() + within
    while not answers():
        if not alive(pid) or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise LabError(f"{what} did not come up within {within:.0f} s ({log}):\n{tail}")
        time.sleep(0.05)


def _lab_commands() -> Iterator[tuple[int, str]]:
    folder = str(paths.lab_dir())
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        line = _command_line(pid)
        ours = line.startswith(_MONITOR) or Path(line.split("\0")[0]).name in _OURS
        if ours and f"{folder}/" in line and alive(pid):
            yield pid, line


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def _in_namespaces() -> set[int]:
    ours = set()
    for path in NAMESPACES.glob(f"{addresses.PREFIX}*"):
        with suppress(OSError):
            ours.add(path.stat().st_ino)
    pids = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "ns/net").stat().st_ino in ours:
                pids.add(int(entry.name))
    return pids
