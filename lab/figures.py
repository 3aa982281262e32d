"""`make figures`: measures what the README's table of figures says, on this machine."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab import leftovers
from tools import paths

PREVIEWS = 5
CGROUPS = Path("/sys/fs/cgroup")


class Failed(RuntimeError):
    """A measured command failed; its last lines are the message."""


def measure(*arguments: str) -> tuple[float, str]:
    """Seconds and last line of one command of the project."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=paths.repo_root(), capture_output=True, text=True
    )
    seconds = time.monotonic() - begun
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode:
        raise Failed(f"python -m {' '.join(arguments)} failed:\n" + "\n".join(lines[-15:]))
    return seconds, "\n".join(lines)


def lab_memory() -> tuple[float, float]:
    """MiB that the lab's machines hold themselves, and page cache that the kernel keeps for them."""
    unified = CGROUPS / "tailspan-lab/memory.stat"
    legacy = CGROUPS / "memory/tailspan-lab/memory.stat"
    stat = unified if unified.exists() else legacy
    values = dict(line.split() for line in stat.read_text().splitlines())
    own, cache = ("anon", "file") if stat == unified else ("total_rss", "total_cache")
    return int(values[own]) / 2**20, int(values[cache]) / 2**20


def figures() -> list[tuple[str, str, str]]:
    """Figure, goal and what was measured, in the order of the README's table."""
    measure("lab", "down")
    before = leftovers.snapshot()
    rows: list[tuple[str, str, str]] = []
    up, _ = measure("lab", "up")
    rows.append(("make up, caches warm, lab down", "120 s at most, aim at 75", f"{up:.0f} s"))
    again, said = measure("lab", "up")
    summary = next((line for line in said.splitlines() if line.startswith("no changes")), "CHANGES")
    rows.append(("make up again", "no changes", f"{summary} ({again:.1f} s)"))
    own, cache = lab_memory()
    rows.append(("memory of the lab", "6144 MiB at most", f"{own:.0f} MiB, and {cache:.0f} MiB page cache"))
    checked, said = measure("check")
    rows.append(("make check", "", f"{said.splitlines()[-1]} ({checked:.0f} s)"))
    previews = [measure("lab", "preview", "dev")[0] for _ in range(PREVIEWS)]
    rows.append(("make preview, lab up", "6 s at most", _spread(previews)))
    down, _ = measure("lab", "down")
    left = leftovers.diff(before, leftovers.snapshot())
    rows.append(("make down", "20 s at most, nothing left", f"{down:.1f} s, {left or 'nothing left'}"))
    previews = [measure("lab", "preview", "dev")[0] for _ in range(PREVIEWS)]
    rows.append(("make preview, lab down", "6 s at most", _spread(previews)))
    fast, said = measure("pytest", "-q", "tests/unit", "tests/components", "tests/policy")
    rows.append(("make test-fast", "30 s at most", f"{said.splitlines()[-1].strip('= ')} ({fast:.0f} s)"))
    return rows


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} s (median of {len(seconds)}, worst {max(seconds):.1f})"


def main() -> int:
    console = Console()
    if os.geteuid() != 0:
        console.print("error: the figures need a lab, and a lab needs root")
        return 1
    try:
        rows = figures()
    except Failed as problem:
        console.print(f"error: {problem}", highlight=False, markup=False)
        return 1
    table = Table("figure", "goal", "measured", title=f"{os.cpu_count()} cores")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
