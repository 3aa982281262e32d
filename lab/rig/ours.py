"""The product's setup: the ladder of prefixes and a route agent on every machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from agent.config import Timing
from bootstrap.agent import CONFIG, KEY, agent_config, config_file, zipapp
from bootstrap.gateway import STEADY_SECONDS
from lab import headscale
from lab.rig import faults, gateway
from lab.rig.rig import Rig, plan_routes
from lab.rig.setups import Setup
from lab.shell import LabError
from network.plan import NodePlan, RegionPlan

ARCHIVE = "/usr/local/lib/tailspan/agent.pyz"
_READY = "http://127.0.0.1:41643/readyz"
_METRICS = "http://127.0.0.1:41643/metrics"
_IN_USE = "gateway_in_use{"
# A give-back waits until a gateway has been well for a while, and longer after each flap.
_SETTLES_WITHIN = 90.0
_DRAINS_WITHIN = 30.0
_STEADY_FOR = 5.0
# The same gateways fail every few seconds here, for an hour. On a real network that is flapping, and the agent would
# hold each of them out for up to a minute more; nothing else is set otherwise than in the product.
_TIMING = {"longest_hold": Timing().hold}


@dataclass
class Ours(Setup):
    name: str = "agent"
    title: str = "tailspan: ladder of prefixes and the route agent"
    probing: Mapping[str, str] = field(default_factory=lambda: headscale.SHORTEST_PROBING)
    lossy: bool = False
    # Who owned what when nothing was wrong, by gateway.
    normal: dict[str, set[str]] = field(default_factory=dict)

    def routes(self, one: NodePlan, region: RegionPlan) -> Sequence[IPv4Network]:
        return plan_routes(one, region)

    def victim(self, rig: Rig, region: RegionPlan, number: int) -> NodePlan:
        """Each gateway in its turn."""
        return region.gateways[number % len(region.gateways)]

    def prepare(self, rig: Rig) -> None:
        archive = zipapp()
        for number, region in enumerate(rig.plan.regions):
            # A key per region, and the same in every run: nobody else is in this world.
            key = f"{number + 1:064x}"
            for one in region.nodes:
                machine = rig.machine(one)
                config = agent_config(one, region, rig.plan) | {"timing": _TIMING}
                machine.put(CONFIG, config_file(config), 0o600)
                machine.put(KEY, key, 0o600)
                machine.put(ARCHIVE, archive)
                self.started(rig, one)
        self._wait_until_ready(rig)
        self.normal = _steady_owners(rig)

    def started(self, rig: Rig, one: NodePlan) -> None:
        machine = rig.machine(one)
        if machine.is_on and not machine.runs(faults.AGENT):
            machine.start(faults.AGENT, [sys.executable, ARCHIVE, "run"])

    def settle(self, rig: Rig) -> None:
        self._wait_until_ready(rig)
        deadline = time.monotonic() + _SETTLES_WITHIN
        while (seen := owners(rig)) != self.normal:
            if time.monotonic() > deadline:
                raise LabError(
                    f"not the normal state after {_SETTLES_WITHIN:.0f} s: {_differences(self.normal, seen)}"
                )
            time.sleep(0.3)
        # Nodes go back to a gateway later than the control server does: they wait until it has been well for a while.
        while unused := [one.name for one in rig.nodes.values() if not self._uses_every_gateway(rig, one)]:
            if time.monotonic() > deadline:
                raise LabError(f"nodes that do not use every gateway after {_SETTLES_WITHIN:.0f} s: {unused}")
            time.sleep(0.2)

    def _uses_every_gateway(self, rig: Rig, one: NodePlan) -> bool:
        told = self._get(rig, one, _METRICS)
        return told is not None and not any(
            _IN_USE in line and line.endswith(" 0") for line in told.splitlines()
        )

    def _get(self, rig: Rig, one: NodePlan, url: str) -> str | None:
        """What the agent answers; None if that is no success."""
        done = rig.machine(one).run("curl", "-sf", "-m1", url, check=False)
        return done.stdout if done.returncode == 0 else None

    def _wait_until_ready(self, rig: Rig) -> None:
        deadline = time.monotonic() + _SETTLES_WITHIN
        for one in rig.nodes.values():
            while not self._ready(rig, one):
                if time.monotonic() > deadline:
                    tail = rig.machine(one).log(faults.AGENT).read_text(errors="replace")[-1500:]
                    raise LabError(f"agent of {one.name}: not ready after {_SETTLES_WITHIN:.0f} s:\n{tail}")
                time.sleep(0.2)

    def _ready(self, rig: Rig, one: NodePlan) -> bool:
        return self._get(rig, one, _READY) is not None

    def wait_until_back(self, rig: Rig, one: NodePlan) -> None:
        """Readiness that lasts, as of the DaemonSet's `minReadySeconds`; nothing else is known to who updates it."""
        deadline = time.monotonic() + _SETTLES_WITHIN
        since = None
        while since is None or time.monotonic() - since < STEADY_SECONDS:
            if not self._ready(rig, one):
                since = None
            elif since is None:
                since = time.monotonic()
            if time.monotonic() > deadline:
                raise LabError(f"{one.name}: not ready after {_SETTLES_WITHIN:.0f} s")
            time.sleep(0.3)

    def drain(self, rig: Rig, one: NodePlan) -> None:
        words = (sys.executable, ARCHIVE, "drain")
        rig.machine(one).run(*words, timeout=_DRAINS_WITHIN)


def _steady_owners(rig: Rig) -> dict[str, set[str]]:
    """The owners once they have been the same for a while, after the agents have found each other."""
    deadline = time.monotonic() + _SETTLES_WITHIN
    seen, since = owners(rig), time.monotonic()
    while time.monotonic() < since + _STEADY_FOR:
        time.sleep(0.5)
        if (now := owners(rig)) != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() > deadline:
            raise LabError(f"the gateways' prefixes still change after {_SETTLES_WITHIN:.0f} s")
    return seen


def _differences(wanted: Mapping[str, set[str]], seen: Mapping[str, set[str]]) -> str:
    return "; ".join(
        f"{name} lacks {len(prefixes - seen.get(name, set()))} and has {len(seen.get(name, set()) - prefixes)} too many"
        for name, prefixes in sorted(wanted.items())
        if prefixes != seen.get(name, set())
    )


def owners(rig: Rig) -> dict[str, set[str]]:
    """What the control server gives to each gateway, as gateways of other regions see it."""
    seen: dict[str, set[str]] = {}
    for watcher in rig.gateways():
        for name, prefixes in gateway.primaries(rig.machine(watcher)).items():
            if name in rig.nodes and rig.nodes[name].region != watcher.region:
                # Where two watchers differ, what one of them has not heard yet shows as a difference.
                seen[name] = prefixes if seen.get(name, prefixes) == prefixes else {"watchers differ"}
    return seen
