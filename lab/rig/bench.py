"""Runs events and measures them: one window for the failure, one for its undoing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lab.rig.events import Event, Scene, nothing
from lab.rig.rig import Rig
from lab.rig.setups import Setup
from lab.rig.streams import Streams, Window
from lab.shell import LabError
from network.plan import NodePlan

FLOWS, CONNECTIONS = 16, 8
# What must have gone before a failure, and what counts as recovered after it: so long (s) without a loss.
_QUIET = 1.0
_STEADY_WITHIN = 40.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run of one event in one setup; `part` says whether the failure or its undoing was measured."""

    setup: str
    event: str
    part: str
    run: int
    victim: str
    # Flows that count and flows there are, both directions together: the article's setup has dead ones from the start.
    working: int
    flows: int
    sent: int
    lost: int
    gap: float
    # Seconds until a second without any loss began; None when that did not come while we watched.
    recovered: float | None
    watched: float
    broken: int
    stall: float


class Bench:
    """A rig in one setup, and streams between the pods of its first two regions."""

    def __init__(self, rig: Rig, setup: Setup, *, patience: float, report: Callable[[Result], None]) -> None:
        self.rig, self.setup, self.patience, self.report = rig, setup, patience, report
        here, there = (rig.plain_nodes(region.name) for region in rig.plan.regions[:2])
        self.streams = Streams(rig, list(zip(here, there, strict=True)), flows=FLOWS)

    def steady(self) -> None:
        """Until the normal state has lasted for a while; TCP connections are open then."""
        self.setup.settle(self.rig)
        self.streams.watch_all()
        if self.setup.lossy:
            time.sleep(2 * _QUIET)
            self.streams.connect_what_goes(CONNECTIONS, within=_QUIET)
            return
        if self.streams.wait_until_good(seconds=_QUIET, within=_STEADY_WITHIN) is None:
            raise LabError(
                f"{self.setup.name}: no second without loss within {_STEADY_WITHIN:.0f} s; "
                f"flows that lose: {self.streams.bad(_QUIET)}"
            )
        self.streams.connect(CONNECTIONS)

    def run(self, event: Event, number: int) -> None:
        self.steady()
        victim = self.setup.victim(self.rig, self.rig.plan.regions[1], number)
        scene = Scene(self.rig, self.setup, victim)
        self._measured(event, "failure", number, victim, lambda: event.do(scene))
        if event.undo is nothing:
            return
        if self.setup.lossy:
            # The flows that worked are dead, and those that were dead may work now: nothing to compare.
            self._undo(event, scene)
        else:
            self._measured(event, "recovery", number, victim, lambda: self._undo(event, scene))

    def _undo(self, event: Event, scene: Scene) -> None:
        event.undo(scene)
        self.setup.settle(self.rig)

    def _measured(
        self, event: Event, part: str, number: int, victim: NodePlan, act: Callable[[], None]
    ) -> None:
        if event.watches_all or not self.setup.lossy:
            self.streams.watch_all()
        else:
            self.streams.watch_working(_QUIET)
        self.streams.begin()
        time.sleep(_QUIET / 2)
        begun = time.monotonic()
        act()
        acted = time.monotonic()
        good = self.streams.wait_until_good(seconds=_QUIET, within=self.patience)
        recovered = None if good is None else time.monotonic() - begun - _QUIET
        window = self.streams.end()
        self.report(self._result(event, part, number, victim, window, recovered, time.monotonic() - acted))

    def _result(
        self,
        event: Event,
        part: str,
        number: int,
        victim: NodePlan,
        window: Window,
        recovered: float | None,
        watched: float,
    ) -> Result:
        return Result(
            setup=self.setup.name,
            event=event.name,
            part=part,
            run=number,
            victim=victim.name,
            working=sum(stream.flows for stream in window.streams.values()),
            flows=2 * FLOWS,
            sent=sum(stream.sent for stream in window.streams.values()),
            lost=window.lost,
            gap=window.gap,
            recovered=recovered,
            watched=watched,
            broken=len(window.broken),
            stall=window.stall,
        )

    def close(self) -> None:
        self.streams.close()


def run_all(bench: Bench, events: Iterable[Event], runs: int) -> None:
    """Every event so often, event by event; each gateway of the region is the victim in its turn."""
    for event in events:
        for number in range(runs):
            bench.run(event, number)
