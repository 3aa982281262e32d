"""What one step of one run of an event came to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.rig.events import Way


@dataclass(frozen=True, kw_only=True)
class Result:
    """One step of one run. Gaps and losses by direction, seen from the victim's region."""

    setup: str
    event: str
    part: str
    run: int
    victim: str
    # When the step began (UTC), to find it in the programs' logs.
    at: str
    # Flows that count and flows there are, both directions together: the article's setup has dead ones from the start.
    working: int
    flows: int
    sent: int
    lost: dict[Way, int]
    gap: dict[Way, float]
    last: dict[Way, float]
    lost_inside: int
    # Whether a second without any loss came while we watched.
    recovered: bool
    watched: float
    broken: int
    stall: float
    changes: list[str] = field(default_factory=list)


def append(file: Path, result: Result) -> None:
    """A line of its own at once, so that an interrupted bench keeps what it has measured."""
    with file.open("a") as out:
        out.write(json.dumps(asdict(result)) + "\n")


def read(files: Iterable[Path]) -> list[Result]:
    return [Result(**json.loads(line)) for file in files for line in file.read_text().splitlines()]
