"""A node's choice: through which gateways it sends what leaves the region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.config import Timing
from agent.core.holds import Hold
from agent.wire import Beat


@dataclass(frozen=True)
class Heard:
    """What a node knows of one gateway: when it was heard last, and what it said."""

    at: float | None = None
    beat: Beat | None = None


@dataclass
class NodeCore:
    """
    Leaves a gateway at once, returns to it after a hold. Without any gateway that is heard it changes nothing: silence
    of all of them more likely means that the agents are gone, or this machine's network, than that all are dead.
    """

    names: Sequence[str]
    timing: Timing
    started: float
    # What the kernel's routes use now, by number; empty before the first choice.
    current: tuple[int, ...] = ()
    _holds: dict[int, Hold] = field(default_factory=dict)

    def choose(self, heard: Sequence[Heard], now: float) -> tuple[int, ...]:
        """The gateways to use from now on."""
        well = self._well(heard, now)
        ready = [number for number in range(len(self.names)) if self._ready(number, number in well, now)]
        # Until each gateway had time to be heard, one that is not may be well all the same.
        if now - self.started < self.timing.silence + self.timing.beat and self.current:
            return self.current
        kept = [number for number in self.current if number in well]
        chosen = tuple(sorted({*kept, *ready})) if kept else tuple(sorted(well))
        if chosen:
            self.current = chosen
        return self.current

    def _ready(self, number: int, well: bool, now: float) -> bool:
        hold = self._holds.setdefault(number, Hold(self.timing.node_hold, self.timing.longest_node_hold))
        return hold.passed(well, now)

    def _well(self, heard: Sequence[Heard], now: float) -> set[int]:
        beats = {
            number: one.beat
            for number, one in enumerate(heard)
            if one.at is not None and one.beat is not None and now - one.at <= self.timing.silence
        }
        able = {number for number, beat in beats.items() if beat.well}
        good = {number for number in able if not self._accused(number, able, beats)}
        # A drain is a wish: without anybody else, those that drain are still better than nobody.
        return {number for number in good if not beats[number].drain} or good

    def _accused(self, number: int, able: set[int], beats: dict[int, Beat]) -> bool:
        """A gateway that is well says that nothing comes through this one, which does not say the same of it."""
        name, mine = self.names[number], beats[number]
        return any(
            name in beats[other].unfit and self.names[other] not in mine.unfit
            for other in able
            if other != number
        )
