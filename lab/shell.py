"""How the lab runs programs: output captured, time bounded, and failures told in one sentence."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

NAMESPACES = Path("/run/netns")


class LabError(RuntimeError):
    """The lab cannot do what was asked; the message says why and what to do instead."""


def run(
    argv: Sequence[str | Path], *, stdin: str | None = None, timeout: float = 30, check: bool = True
) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in argv]
    try:
        done = subprocess.run(
            command, input=stdin or "", capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise LabError(
            f"{command[0]}: no such program. Run `make up`, which installs what the lab needs."
        ) from None
    except subprocess.TimeoutExpired:
        raise LabError(f"`{' '.join(command)}` did not end within {timeout:.0f} s") from None
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no output")[-2000:]
        raise LabError(f"`{' '.join(command)}` failed ({done.returncode}): {said}")
    return done


def inside(namespace: str) -> list[str]:
    # Not `ip netns exec`: it mounts a new /sys, which hides the cgroups that machines need.
    return ["nsenter", f"--net={NAMESPACES / namespace}"]


def ip_batch(commands: Sequence[str], namespace: str | None = None) -> None:
    """Runs `ip` commands in one process; stops at the first that fails."""
    if commands:
        where = ["-n", namespace] if namespace else []
        run(["ip", *where, "-batch", "-"], stdin="\n".join(commands) + "\n")


def delete_tree(folder: Path) -> None:
    """Many thousand hard links in a moment; never beyond a mount that should not be there."""
    run(["rm", "-rf", "--one-file-system", folder], timeout=60)
