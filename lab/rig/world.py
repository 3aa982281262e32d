"""A world of the rig's own: namespaces that end, with everything in them, when the process that made them ends.

Nothing in the world has a name outside it, so nothing has to be found and removed after a crash: the kernel does it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from lab.shell import LabError, run
from tools import paths

# The rig's TAILSPAN_HOME inside: short, because sockets lie under it, and the world's own by way of /run.
HOME = Path("/run/tailspan")
LOGS = HOME / "log"
_INSIDE = "TAILSPAN_RIG_WORLD"
_PROGRAMS = ("ip", "nft", "nsenter", "unshare", "setpriv", "sysctl", "mount", "chroot", "ethtool")
# What the world reads of the real home: built programs and the machines' root file system.
_SHARED = ("bin", "tools", "rootfs")


def inside() -> bool:
    return os.environ.get(_INSIDE) == "yes"


def run_inside(argv: Sequence[str]) -> int:
    """Runs `python -m lab.rig ARGV` in a new world; returns its exit code when all of the world is gone."""
    _require_host()
    env = os.environ | {
        _INSIDE: "yes",
        "TAILSPAN_HOME": str(HOME),
        "TAILSPAN_RIG_SHARES": str(paths.home()),
        "PATH": f"{paths.bin_dir()}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    # kill -9 of this process ends unshare, whose end ends the world's first process, whose end ends all others.
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--net", "--mount", "--uts", "--fork"]
    command += ["--kill-child=KILL", "--propagation", "private", "--mount-proc", "--"]
    command += [sys.executable, "-m", "lab.rig", *argv]
    # The world's first process would ignore a polite SIGTERM; here it ends the world.
    before = signal.signal(signal.SIGTERM, _leave)
    process = subprocess.Popen(command, env=env, cwd=paths.repo_root())
    try:
        return _interruptible(process)
    finally:
        signal.signal(signal.SIGTERM, before)
        if process.poll() is None:
            _end(process)


def _interruptible(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal has sent it to the world, too, which keeps its logs before it ends.
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=5)
        raise


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _end(unshare: subprocess.Popen[bytes]) -> None:
    # The first process, not unshare: unshare returns when the kernel has ended everything in the world.
    for pid in children(unshare.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    unshare.wait(timeout=10)


def children(pid: int) -> list[int]:
    """A process's children; the kernel lists them by the thread that started them."""
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in file.read_text().split()]
    return found


def furnish() -> None:
    """Called once by the world's first process: its own /sys and /run, and the rig's home."""
    for kind, point in (("sysfs", "/sys"), ("tmpfs", "/run")):
        run(["mount", "-t", kind, kind, point])
    run(["ip", "link", "set", "lo", "up"])
    for folder in (HOME, LOGS, paths.lab_dir()):
        folder.mkdir(parents=True, mode=0o700)
    shares = Path(os.environ["TAILSPAN_RIG_SHARES"])
    for name in _SHARED:
        (HOME / name).symlink_to(shares / name)


def keep_logs(folder: Path) -> None:
    """Copies the logs out of the world, before it ends."""
    shutil.copytree(LOGS, folder, dirs_exist_ok=True)
    headscale = paths.lab_dir() / "headscale" / "headscale.log"
    if headscale.exists():
        shutil.copy(headscale, folder)


def _require_host() -> None:
    if problems := list(_missing()):
        raise LabError("the rig cannot start on this host:\n" + "\n".join(f"  - {line}" for line in problems))


def _missing() -> Iterator[str]:
    if os.geteuid() != 0:
        yield "not root: the rig makes network namespaces: run the same command with sudo"
    if not Path("/dev/net/tun").is_char_device():
        yield "/dev/net/tun is missing: load the kernel's tun module, or pass the device into this container"
    if absent := [name for name in _PROGRAMS if not shutil.which(name)]:
        yield f"missing programs: {', '.join(absent)}: run `python -m tools lab`, which installs them"
    if not (paths.rootfs_store() / "current").exists():
        yield f"{paths.rootfs_store()}: no machine image: run `python -m tools lab`, which builds it"
    for name in ("headscale", "tailscaled", "containerboot"):
        if not (paths.bin_dir() / name).exists() and not shutil.which(name):
            yield f"{name}: not in {paths.bin_dir()}: run `python -m tools lab`, which builds it"
