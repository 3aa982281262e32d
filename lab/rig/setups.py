"""The ways to run gateways that are compared: what they advertise, where nodes send, how a gateway is drained."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from lab import headscale
from lab.rig import gateway, routes
from lab.rig.rig import Rig, plan_routes
from lab.shell import LabError
from network.plan import NodePlan, RegionPlan

# What headscale does unless it is told otherwise (hscontrol/types/config.go, 0.29.2).
_DEFAULT_PROBING = {"probe_interval": "10s", "probe_timeout": "5s"}
# A gateway that was cut off asks the control server again only when its connection has timed out.
_SETTLES_WITHIN = 90.0
_RESTARTED_AFTER, _ENDS_WITHIN = 30.0, 10.0


@dataclass
class Setup:
    """The article's: every gateway advertises the same prefixes, nodes have static equal-cost routes to all of them."""

    name: str = "article"
    title: str = "article: equal prefixes, ECMP"
    probing: Mapping[str, str] = field(default_factory=lambda: _DEFAULT_PROBING)
    # Whether it loses flows while nothing is wrong: then only those count that worked before an event.
    lossy: bool = True

    def routes(self, one: NodePlan, region: RegionPlan) -> Sequence[IPv4Network]:
        return (region.node_cidr, region.pod_cidr)

    def victim(self, rig: Rig, region: RegionPlan, number: int) -> NodePlan:
        """The gateway that fails: the owner of the region's prefixes, since nothing that passes another one works."""
        watcher = next(one for one in rig.gateways() if one.region != region.name)
        owned = gateway.primaries(rig.machine(watcher))
        return next(one for one in region.gateways if str(region.pod_cidr) in owned.get(one.name, ()))

    def prepare(self, rig: Rig) -> None:
        """After the rig came up."""
        routes.spread_everywhere(rig)

    def started(self, rig: Rig, one: NodePlan) -> None:
        """After a machine or its programs came back."""

    def settle(self, rig: Rig) -> None:
        """After everything came back: the normal state again."""
        rig.wait_until_linked()

    def wait_until_back(self, rig: Rig, one: NodePlan) -> None:
        """What a rolling update waits for before it touches the next gateway."""
        self.settle(rig)

    def drain(self, rig: Rig, one: NodePlan) -> None:
        """What maintenance does before it stops a gateway: here, kubelet's SIGTERM and nothing else."""
        gateway.stop(rig.machine(one))


@dataclass
class Probed(Setup):
    """
    The best that goes without an agent: every gateway advertises every prefix, so that headscale probes them all, but
    each became the owner of prefixes of its own, because it came first and headscale does not give back.
    """

    name: str = "probed"
    title: str = "headscale's probing at its minimum, distinct prefixes, no agent"
    probing: Mapping[str, str] = field(default_factory=lambda: headscale.SHORTEST_PROBING)
    lossy: bool = False

    def victim(self, rig: Rig, region: RegionPlan, number: int) -> NodePlan:
        """Each gateway in its turn."""
        return region.gateways[number % len(region.gateways)]

    def routes(self, one: NodePlan, region: RegionPlan) -> Sequence[IPv4Network]:
        return plan_routes(one, region)

    def prepare(self, rig: Rig) -> None:
        super().prepare(rig)
        self.settle(rig)

    def settle(self, rig: Rig) -> None:
        for one in rig.gateways():
            gateway.advertise(rig.machine(one), one.advertise)
        for one in without_their_prefixes(rig, within=_RESTARTED_AFTER):
            # headscale gives it nothing any more though its tunnel is whole again: somebody would restart it.
            gateway.kill(rig.machine(one))
            rig.machine(one).wait_for_end(gateway.CONTAINER, within=_ENDS_WITHIN)
            rig.start_gateway(one)
            rig.wait_until_joined(one)
        _need_their_prefixes(rig)
        for region in rig.plan.regions:
            every = sorted({prefix for one in region.gateways for prefix in one.advertise})
            for one in region.gateways:
                gateway.advertise(rig.machine(one), every)
        _need_their_prefixes(rig)


def _need_their_prefixes(rig: Rig) -> None:
    if wrong := without_their_prefixes(rig, within=_SETTLES_WITHIN):
        names = ", ".join(one.name for one in wrong)
        raise LabError(f"gateways {names}: not the owners of their prefixes after {_SETTLES_WITHIN:.0f} s")


def without_their_prefixes(rig: Rig, *, within: float) -> list[NodePlan]:
    """Those that a gateway of another region does not see own exactly what the plan gives them, in the end."""
    wanted = {one.name: {str(prefix) for prefix in one.advertise} for one in rig.gateways()}
    deadline = time.monotonic() + within
    while True:
        wrong = {name for watcher in rig.gateways() for name in _wrong(rig, watcher, wanted)}
        if not wrong or time.monotonic() > deadline:
            return [rig.nodes[name] for name in sorted(wrong)]
        time.sleep(0.2)


def _wrong(rig: Rig, watcher: NodePlan, wanted: Mapping[str, set[str]]) -> list[str]:
    seen = gateway.primaries(rig.machine(watcher))
    return [
        name
        for name, prefixes in wanted.items()
        if rig.nodes[name].region != watcher.region and seen.get(name) != prefixes
    ]
