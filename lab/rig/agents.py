"""What the agents themselves need while nothing is wrong: processor and memory, on nodes and on gateways."""

from __future__ import annotations

import time
from dataclasses import dataclass

from lab.rig import cpu
from lab.rig.ours import ARCHIVE
from lab.rig.rig import Rig
from lab.shell import LabError

_PROGRAM = ARCHIVE.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Need:
    """`core`: share of one processor. `resident`: bytes of memory."""

    machine: str
    role: str
    core: float
    resident: int


def measure(rig: Rig, seconds: float) -> list[Need]:
    """Over so many seconds, in a rig whose agents have settled."""
    before, begun = {name: _agent(rig, name) for name in rig.nodes}, time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - begun
    after = {name: _agent(rig, name) for name in rig.nodes}
    return [
        Need(
            machine=name,
            role=one.role,
            core=(after[name].seconds - before[name].seconds) / elapsed,
            resident=after[name].resident,
        )
        for name, one in rig.nodes.items()
    ]


def _agent(rig: Rig, name: str) -> cpu.Usage:
    found = cpu.of_machine(rig.machines[name])
    if _PROGRAM not in found:
        raise LabError(f"machine {name}: its agent does not run, only {', '.join(sorted(found))}")
    return found[_PROGRAM]
