"""The agent's clock: seconds in which it was able to listen.

On a machine that stands still (an overloaded hypervisor, a suspend) beats are not read in time. That is no silence of
the others, so such a pause does not count: otherwise the slowest machine of a region would find all others dead.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """`tick` is to be called with every beat; `now` never runs ahead of the last tick by more than a beat or two."""

    # A tick this many beats after the last one came late.
    LATE_BEATS = 3

    def __init__(self, beat: float, source: Callable[[], float] = time.monotonic) -> None:
        self._beat, self._source = beat, source
        self._last = source()
        self._lost = 0.0

    def now(self) -> float:
        """Seconds, without those that were lost; during a pause the time stands still."""
        return min(self._source(), self._last + self.LATE_BEATS * self._beat) - self._lost

    def running(self) -> bool:
        """Has the last tick been a short while ago?"""
        return self._source() - self._last < 1.0

    def tick(self) -> float:
        """A beat begins. Returns the seconds by which it came too late, 0 in the normal case."""
        now = self._source()
        late = now - self._last - self.LATE_BEATS * self._beat
        self._last = now
        if late <= 0:
            return 0.0
        self._lost += late
        return late
