"""Hysteresis: what was lost at once comes back after it was well for a while, and later if it flaps."""

from __future__ import annotations

from dataclasses import dataclass

# A gateway that fails again this soon after its return waits twice as long the next time, seconds.
FLAP_SECONDS = 60.0


@dataclass
class Hold:
    """One gateway's. `passed` is to be asked with every new observation."""

    shortest: float
    longest: float
    seconds: float = 0.0
    since: float | None = None
    returned: float | None = None
    failed: bool = False

    def passed(self, well: bool, now: float) -> bool:
        """Is it well, and has it been for long enough? What never failed need not wait."""
        if not well:
            if self.since is not None or not self.failed:
                self._fail(now)
            self.since = None
            return False
        if self.since is None:
            self.since = now
        if self.failed and now - self.since < self.seconds:
            return False
        if self.failed:
            self.failed, self.returned = False, now
        return True

    def _fail(self, now: float) -> None:
        flapping = self.returned is not None and now - self.returned < FLAP_SECONDS
        if not self.failed:
            self.seconds = min(self.longest, self.seconds * 2) if flapping else self.shortest
            self.failed = True
