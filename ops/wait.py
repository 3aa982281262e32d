"""Bounded waiting: every loop of this room ends at a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ops.errors import HttpError, OpsError, Unreachable

T = TypeVar("T")


# Most machines answer within seconds: look often at first, seldom when it drags on.
OFTEN, SELDOM, FIRST = 0.3, 1.0, 30.0


# Set when a run is cancelled: every deadline of every thread is then over.
STOPPED = threading.Event()


class Deadline:
    """A point in time that several steps share."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._start = time.monotonic()

    @property
    def passed(self) -> float:
        return time.monotonic() - self._start

    @property
    def expired(self) -> bool:
        return STOPPED.is_set() or self.passed >= self.seconds

    def pause(self) -> None:
        interval = OFTEN if self.passed < FIRST else SELDOM
        STOPPED.wait(max(0.0, min(interval, self.seconds - self.passed)))


def until_answered(call: Callable[[], T], deadline: Deadline, what: str, *, forbidden_for: float = 0) -> T:
    """Repeats an idempotent call until the server answers it; `what` names the step in the error.

    `forbidden_for`: a control plane that has just started refuses its own administrator for some seconds.
    """
    while True:
        try:
            return call()
        except (Unreachable, HttpError) as error:
            if not _passes(error, deadline, forbidden_for):
                raise OpsError(f"{what}: {error}") from error
            if deadline.expired:
                raise OpsError(f"{what}: no answer within {deadline.seconds:.0f} s; last: {error}") from error
        deadline.pause()


def _passes(error: Unreachable | HttpError, deadline: Deadline, forbidden_for: float) -> bool:
    if isinstance(error, Unreachable) or error.transient:
        return True
    return error.status in (401, 403) and deadline.passed < forbidden_for
