"""The table of failures: each event, what it does to a rig, and what is promised for it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from lab.rig import faults, gateway
from lab.rig.rig import Rig
from lab.rig.setups import Setup
from network.plan import NodePlan

_STOPS_WITHIN = 30.0


@dataclass(frozen=True)
class Scene:
    """What an event happens to: one gateway of a GPU region, watched from the hub and back."""

    rig: Rig
    setup: Setup
    victim: NodePlan

    @property
    def partner(self) -> NodePlan:
        gateways = self.rig.gateways(self.victim.region)
        return gateways[(gateways.index(self.victim) + 1) % len(gateways)]

    @property
    def far(self) -> list[NodePlan]:
        """Gateways of the other measured region."""
        other = next(region for region in self.rig.plan.regions if region.name != self.victim.region)
        return list(other.gateways)


@dataclass(frozen=True, kw_only=True)
class Event:
    """
    `worst` and `median` are gaps in seconds, None: nothing is promised. `lossless`: not a single probe may be lost, and
    connections live on. `undo` brings the rig back; `undone_lossless` says that this is measured, too, as a recovery.
    """

    name: str
    title: str
    do: Callable[[Scene], None]
    undo: Callable[[Scene], None]
    worst: float | None = None
    median: float | None = None
    lossless: bool = False
    undone_lossless: bool = False
    needs_agent: bool = False
    # Flows count as well that did not work before.
    watches_all: bool = False


def nothing(scene: Scene) -> None:
    """Where nothing is done, or nothing has to be undone."""


def revive(scene: Scene) -> None:
    """The machine is switched on and runs what it ran."""
    rig, victim = scene.rig, scene.victim
    if not rig.machine(victim).is_on:
        rig.power_on(victim)
    start_pod(scene, victim)


def start_pod(scene: Scene, one: NodePlan) -> None:
    """What of the gateway's pod does not run is started, as kubelet does; returns when it is in the tailnet."""
    machine = scene.rig.machine(one)
    if not machine.processes("tailscaled"):
        if machine.runs(gateway.CONTAINER):
            # Without its tailscaled containerboot waits to be ended, and would start none.
            machine.signal(gateway.CONTAINER, signal.SIGKILL)
            machine.wait_for_end(gateway.CONTAINER, within=_STOPS_WITHIN)
        scene.rig.start_gateway(one)
    scene.setup.started(scene.rig, one)
    scene.rig.wait_until_joined(one)


def _victim(fault: Callable[[Rig, NodePlan], None]) -> Callable[[Scene], None]:
    return lambda scene: fault(scene.rig, scene.victim)


def _drain_and_stop(scene: Scene) -> None:
    scene.setup.drain(scene.rig, scene.victim)
    machine = scene.rig.machine(scene.victim)
    for program in (faults.AGENT, gateway.CONTAINER):
        if machine.runs(program):
            machine.signal(program, signal.SIGTERM)
            machine.wait_for_end(program, within=_STOPS_WITHIN)


def _rolling_update(scene: Scene) -> None:
    """Each gateway in turn: drained, stopped, started, and the next one only when the setup calls it ready."""
    for one in scene.rig.gateways(scene.victim.region):
        turn = Scene(scene.rig, scene.setup, one)
        _drain_and_stop(turn)
        start_pod(turn, one)
        scene.setup.settle(scene.rig)


def _reboot(scene: Scene) -> None:
    _drain_and_stop(scene)
    faults.power_off(scene.rig, scene.victim)


def _control_server_pause(scene: Scene) -> None:
    scene.rig.stop_control_server()
    time.sleep(5)
    scene.rig.start_control_server()


def _split_brain(scene: Scene) -> None:
    faults.cut_from_each_other(scene.rig, scene.victim, scene.partner)


def _both_die(scene: Scene) -> None:
    for one in (scene.victim, scene.partner):
        faults.power_off(scene.rig, one)


def _partner_back(scene: Scene) -> None:
    revive(Scene(scene.rig, scene.setup, scene.partner))


EVENTS: tuple[Event, ...] = (
    Event(name="nothing", title="nothing wrong", do=nothing, undo=nothing, lossless=True, watches_all=True),
    Event(
        name="power-off",
        title="power-off of a gateway, then its recovery",
        do=_victim(faults.power_off),
        undo=revive,
        worst=2.0,
        median=1.0,
        undone_lossless=True,
    ),
    Event(
        name="tailscaled",
        title="tailscaled killed",
        do=_victim(faults.kill_tailscaled),
        undo=revive,
        worst=2.0,
    ),
    Event(
        name="pod",
        title="gateway pod killed (tailscaled and agent)",
        do=_victim(faults.kill_pod),
        undo=revive,
        worst=2.0,
    ),
    Event(
        name="agent",
        title="agent killed, forwarding alive",
        do=_victim(faults.kill_agent),
        undo=revive,
        lossless=True,
        needs_agent=True,
    ),
    Event(
        name="lan",
        title="LAN side dead, tailnet side alive",
        do=_victim(faults.lan_dead),
        undo=_victim(faults.cure),
        worst=2.0,
    ),
    Event(
        name="tailnet",
        title="tailnet side dead, LAN side alive",
        do=_victim(faults.tailnet_dead),
        undo=_victim(faults.cure),
        worst=2.0,
    ),
    Event(
        name="ip_forward",
        title="up, but ip_forward=0",
        do=_victim(faults.no_forwarding),
        undo=_victim(faults.cure),
        worst=3.0,
    ),
    Event(
        name="drop-rule",
        title="up, but a DROP rule in forward",
        do=_victim(faults.drop_rule),
        undo=_victim(faults.cure),
        worst=3.0,
    ),
    Event(
        name="rp_filter",
        title="up, but rp_filter=1 everywhere",
        do=_victim(faults.strict_rp_filter),
        undo=_victim(faults.cure),
        worst=3.0,
    ),
    Event(name="drain", title="drain", do=_drain_and_stop, undo=revive, lossless=True, undone_lossless=True),
    Event(
        name="rolling",
        title="rolling update of the region's gateways",
        do=_rolling_update,
        undo=nothing,
        lossless=True,
    ),
    Event(
        name="reboot",
        title="machine reboot announced",
        do=_reboot,
        undo=revive,
        lossless=True,
        undone_lossless=True,
    ),
    Event(
        name="control",
        title="control server down alone (5 s)",
        do=_control_server_pause,
        undo=nothing,
        lossless=True,
    ),
    Event(
        name="split-brain",
        title="split brain: gateways cut from each other only",
        do=_split_brain,
        undo=_victim(faults.cure),
        worst=3.0,
    ),
)
