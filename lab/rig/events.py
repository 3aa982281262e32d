"""What an event is: steps, what a step does to a rig, and what is promised for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lab.rig.scene import Scene

Way = Literal["in", "out"]
BOTH: tuple[Way, ...] = ("in", "out")
Action = Callable[[Scene], None]


@dataclass(frozen=True, kw_only=True)
class Step:
    """
    One row of the table. `worst` and `median` are promised gaps in seconds; `lossless`: not one probe may be lost, and
    connections live on. Without any of them the row is printed and promises nothing.
    """

    part: str
    title: str
    do: Action
    worst: float | None = None
    median: float | None = None
    lossless: bool = False
    # Directions that the promise is about, seen from the victim's region, and that must work before the next step.
    ways: tuple[Way, ...] = BOTH
    # The gap counts from when `do` has returned: how long until traffic flows again.
    after: bool = False
    # Routes and advertised prefixes of the victim's region must stay as they are while we watch for so long (s).
    unchanged_for: float | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """Its last step leaves everything as it was."""

    name: str
    steps: tuple[Step, ...]
    # Flows count as well that did not work before.
    watches_all: bool = False
    # Run once where others run so often: what it shows does not differ from run to run as a detection does.
    every: int = 1
    # Measured in the setups without an agent, too.
    compared: bool = False


def nothing(scene: Scene) -> None:
    """Where there is nothing to do, or nothing to undo."""
