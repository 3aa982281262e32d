"""Building blocks of everything kept under the home: hashed names, locks, atomic completion, logged commands.

An interrupted build leaves only a `.partial-*` folder, which the next run removes; a finished one is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools import paths
from tools.paths import ToolchainError

# A command in mount and process namespaces of its own: nothing that it mounted or started outlives it or us.
CONTAINED = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"),
)


def digest(*parts: str | bytes | Path) -> str:
    """A short name for the sum of the parts; a Path counts with its content."""
    total = hashlib.sha256()
    for part in parts:
        data = (
            part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        )
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()[:12]


@contextmanager
def locked(name: str, waiting: str) -> Iterator[None]:
    """Held by one process at a time; the kernel releases it when its holder dies."""
    file = paths.home() / "locks" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another run: {waiting}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def partial(final: Path) -> Iterator[Path]:
    """A new folder that becomes `final` if the block succeeds. Call it with the lock of the store held."""
    final.parent.mkdir(parents=True, exist_ok=True)
    for old in final.parent.glob(".partial-*"):
        remove_tree(old)
    work = final.parent / f".partial-{final.name}-{os.getpid()}"
    work.mkdir()
    try:
        yield work
    except BaseException:
        remove_tree(work)
        raise
    work.rename(final)


def remove_tree(root: Path) -> None:
    """Remove a folder; what an interrupted run left mounted in it is unmounted first.

    Removing through a mount would empty the host's own /dev.
    """
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    inside = [point for point in mounted if Path(point).is_relative_to(root)]
    for point in sorted(inside, key=len, reverse=True):
        run(["umount", "--lazy", point])
    shutil.rmtree(root, ignore_errors=False) if root.exists() else None


def set_current(final: Path) -> None:
    """Point `current` at the finished build, in one step."""
    link = final.parent / "current"
    new = final.parent / f".current-{os.getpid()}"
    new.unlink(missing_ok=True)
    new.symlink_to(final.name)
    new.rename(link)


def run(
    command: Sequence[str | Path],
    *,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run to the end; a failure shows the last lines and where the rest is."""
    argv = [str(word) for word in command]
    merged = dict(os.environ) | dict(env or {})
    if log is None:
        done = subprocess.run(
            argv, env=merged, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        output = done.stdout + done.stderr
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as out:
            done = subprocess.run(
                argv,
                env=merged,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        output = log.read_text(errors="replace") if done.returncode else ""
    if done.returncode:
        raise failure(argv, done.returncode, output, log)


def failure(argv: Sequence[str], code: int, output: str, log: Path | None) -> ToolchainError:
    tail = "\n".join(f"    {line}" for line in output.strip().splitlines()[-15:])
    where = f"\n  whole log: {log}" if log else ""
    return ToolchainError(f"`{' '.join(argv[:3])} ...` ended with {code}:\n{tail}{where}")
