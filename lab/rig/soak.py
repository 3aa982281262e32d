"""What only time shows: a bad path on which nothing may flap, and a region that is cut off for long and then healed.

Both at once, because they concern different regions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from lab.rig import faults, relay, state
from lab.rig.plan import Shape
from lab.rig.rig import Rig
from lab.rig.setups import Setup
from lab.rig.streams import Streams
from lab.shell import LabError

LOSS, DELAY = 0.10, 0.050
_REGIONS = ("hub", "gpu", "edge")
_QUIET = 1.0
_LOOKS_EVERY = 2.0
# A path that was spliced or mended needs a moment, and so may what was hit by it.
_SETTLES = 5.0
_HEALS_WITHIN = 60.0


@dataclass
class Soak:
    """`flaps`: routes and prefixes of the region with the bad path that changed, each with its moment (s)."""

    seconds: float
    flaps: list[str] = field(default_factory=list)
    # Of the region that was cut off: probes lost between its own nodes, what changed there, seconds until it was back.
    lost_inside: int = 0
    changes: list[str] = field(default_factory=list)
    back: float | None = None

    @property
    def holds(self) -> bool:
        """No flap, nothing lost inside, traffic back within 5 s."""
        quiet = not (self.flaps or self.changes or self.lost_inside)
        return quiet and self.back is not None and self.back <= 5.0


def soak(setup: Setup, seconds: float, say: Callable[[str], None]) -> dict[str, object]:
    """Inside a world: three regions, a gateway of the second on a bad path, the third cut off for so long."""
    rig = Rig(Shape(regions=_REGIONS), probing=setup.probing, routes=setup.routes)
    rig.up()
    setup.prepare(rig)
    hub, edge = (rig.plain_nodes(name) for name in ("hub", "edge"))
    streams = Streams.on_rig(rig, list(zip(hub, edge, strict=True)), flows=4, inside=(edge[0], edge[1]))
    if streams.wait_until_good(seconds=_QUIET, within=_HEALS_WITHIN) is None:
        raise LabError(f"no second without loss before the soak: {streams.bad(_QUIET)}")
    say(f"the soak begins: {seconds:.0f} s")
    made = _watched(rig, setup, streams, seconds, say)
    streams.close()
    return asdict(made) | {"holds": made.holds}


def _watched(rig: Rig, setup: Setup, streams: Streams, seconds: float, say: Callable[[str], None]) -> Soak:
    victim = rig.gateways("gpu")[0]
    bad_path = relay.splice(rig, victim, delay=DELAY, loss=LOSS)
    # Cutting the cable and putting it together again is not what is measured.
    time.sleep(_SETTLES)
    setup.settle(rig)
    before = {name: state.of_region(rig, name) for name in ("gpu", "edge")}
    faults.region_cut_off(rig, rig.plan.region("edge"))
    streams.begin()
    made = Soak(seconds)
    begun = time.monotonic()
    while (now := time.monotonic() - begun) < seconds:
        made.flaps += _flaps(rig, before["gpu"], now, say)
        time.sleep(_LOOKS_EVERY)
    made.changes = state.changes(before["edge"], state.of_region(rig, "edge"))
    made.lost_inside = streams.end().streams["edge to edge"].lost
    streams.begin()
    faults.region_connected(rig, rig.plan.region("edge"))
    if streams.wait_until_good(seconds=_QUIET, within=_HEALS_WITHIN) is not None:
        made.back = max(stream.last for stream in streams.end().streams.values())
    relay.unsplice(victim, bad_path)
    return made


def _flaps(
    rig: Rig, before: Mapping[str, frozenset[str]], now: float, say: Callable[[str], None]
) -> list[str]:
    changed = state.changes(dict(before), state.of_region(rig, "gpu"))
    found = [f"{now:.0f} s: {line}" for line in changed]
    for line in found[:3]:
        say(f"flap at {line}")
    return found
