"""Processor time and memory of the world's programs, read from /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.rig.machines import Machine

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """`seconds` of processor since the program's start; `resident` memory in bytes."""

    seconds: float
    resident: int


def of_process(pid: int) -> Usage:
    # After the name, which may hold anything, in brackets: state is field 3, utime 14, stime 15, rss 24.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE)


def of_machine(machine: Machine) -> dict[str, Usage]:
    """By program name; a program that runs twice counts once, with both."""
    mine, found = os.readlink(f"/proc/{machine.pid}/ns/pid"), dict[str, Usage]()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if os.readlink(entry / "ns/pid") == mine:
                name = _name(entry)
                used, before = of_process(int(entry.name)), found.get(name, Usage(0, 0))
                found[name] = Usage(used.seconds + before.seconds, used.resident + before.resident)
    return found


def _name(entry: Path) -> str:
    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    script = next((word for word in words[1:] if word.endswith((".pyz", ".py"))), "")
    return Path(script or words[0]).name
