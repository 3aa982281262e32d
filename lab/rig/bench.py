"""Runs events and measures them: one window for each step."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from lab.rig import state
from lab.rig.events import BOTH, Event, Step, Way
from lab.rig.result import Result
from lab.rig.rig import Rig
from lab.rig.scene import Scene
from lab.rig.setups import Setup
from lab.rig.streams import Streams, Window
from lab.shell import LabError

FLOWS, CONNECTIONS = 16, 8
# What must have gone before a failure, and what counts as recovered after it: so long (s) without a loss.
_QUIET = 1.0
_STEADY_WITHIN = 90.0


class Bench:
    """A rig in one setup, and streams between the pods of its first two regions and inside the second."""

    def __init__(self, rig: Rig, setup: Setup, *, patience: float, report: Callable[[Result], None]) -> None:
        self.rig, self.setup, self.patience, self.report = rig, setup, patience, report
        self.region = rig.plan.regions[1].name
        here, there = (rig.plain_nodes(region.name) for region in rig.plan.regions[:2])
        far = rig.plan.regions[0].name
        self.names: dict[Way, str] = {"in": f"{far} to {self.region}", "out": f"{self.region} to {far}"}
        self.inside = f"{self.region} to {self.region}"
        pairs = list(zip(here, there, strict=True))
        self.streams = Streams.on_rig(rig, pairs, flows=FLOWS, inside=(there[0], there[-1]))

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
        first, *others = event.steps
        if self.setup.lossy and not event.watches_all:
            self._watch_what_works()
        self._measured(event, first, scene, number)
        for step in others:
            if self.setup.lossy:
                # The flows that worked are dead, and those that were dead may work now: nothing to compare.
                step.do(scene)
            else:
                self._measured(event, step, scene, number, settles=step is event.steps[-1])

    def _watch_what_works(self) -> None:
        """Flows that work; right after its start a rig may have none yet, and then there would be nothing to lose."""
        deadline = time.monotonic() + _STEADY_WITHIN
        # One flow stays inside the region and always works.
        while self.streams.watch_working(_QUIET)[0] <= 1:
            if time.monotonic() > deadline:
                raise LabError(f"{self.setup.name}: not one flow works within {_STEADY_WITHIN:.0f} s")
            self.streams.watch_all()
            time.sleep(_QUIET)

    def _measured(
        self, event: Event, step: Step, scene: Scene, number: int, *, settles: bool = False
    ) -> None:
        self.streams.begin()
        time.sleep(_QUIET / 2)
        before = state.of_region(self.rig, self.region) if step.unchanged_for else {}
        begun, at = time.monotonic(), datetime.now(UTC).isoformat(timespec="milliseconds")
        step.do(scene)
        if step.after:
            self.streams.begin()
            begun = time.monotonic()
        if settles:
            self.setup.settle(self.rig)
        recovered = self._recovered(step)
        after = state.of_region(self.rig, self.region) if step.unchanged_for else {}
        window = self.streams.end()
        watched = time.monotonic() - begun
        self.report(
            self._result(
                event, step, scene, number, window, recovered, watched, at, state.changes(before, after)
            )
        )

    def _recovered(self, step: Step) -> bool:
        if step.unchanged_for:
            time.sleep(step.unchanged_for)
        streams = [self.names[way] for way in step.ways]
        if not streams:
            return True
        return self.streams.wait_until_good(seconds=_QUIET, within=self.patience, streams=streams) is not None

    def _result(
        self,
        event: Event,
        step: Step,
        scene: Scene,
        number: int,
        window: Window,
        recovered: bool,
        watched: float,
        at: str,
        changes: list[str],
    ) -> Result:
        ways = {way: window.streams[name] for way, name in self.names.items()}
        inside = window.streams[self.inside]
        return Result(
            setup=self.setup.name,
            event=event.name,
            part=step.part,
            run=number,
            victim=scene.victim.name,
            at=at,
            working=sum(stream.flows for stream in ways.values()),
            flows=len(BOTH) * FLOWS,
            sent=sum(stream.sent for stream in ways.values()),
            lost={way: stream.lost for way, stream in ways.items()},
            gap={way: stream.gap for way, stream in ways.items()},
            last={way: stream.last for way, stream in ways.items()},
            lost_inside=inside.lost,
            recovered=recovered,
            watched=watched,
            broken=len(window.broken),
            stall=window.stall,
            changes=changes,
        )

    def close(self) -> None:
        self.streams.close()
