"""What kubelet and a careful administrator do with a gateway's pod: start, drain, stop, update one after the other."""

from __future__ import annotations

import signal

from lab.rig import faults, gateway
from lab.rig.scene import Scene
from network.plan import NodePlan

_STOPS_WITHIN = 30.0


def revive(scene: Scene, one: NodePlan) -> None:
    """The machine is on and runs what it ran; returns when it is in the tailnet."""
    machine = scene.rig.machine(one)
    if not machine.is_on:
        scene.rig.power_on(one)
    if not machine.processes("tailscaled"):
        if machine.runs(gateway.CONTAINER):
            # Without its tailscaled containerboot ends by itself at some time; kubelet starts a new container then.
            machine.signal(gateway.CONTAINER, signal.SIGKILL)
            machine.wait_for_end(gateway.CONTAINER, within=_STOPS_WITHIN)
        scene.rig.start_gateway(one)
    scene.setup.started(scene.rig, one)
    scene.rig.wait_until_joined(one)


def revive_victim(scene: Scene) -> None:
    revive(scene, scene.victim)


def revive_partner(scene: Scene) -> None:
    revive(scene, scene.partner)


def drain_and_stop(scene: Scene) -> None:
    scene.setup.drain(scene.rig, scene.victim)
    machine = scene.rig.machine(scene.victim)
    for program in (faults.AGENT, gateway.CONTAINER):
        if machine.runs(program):
            machine.signal(program, signal.SIGTERM)
            machine.wait_for_end(program, within=_STOPS_WITHIN)


def rolling_update(scene: Scene) -> None:
    """Each gateway in turn: drained, stopped, started; the next one when this one is ready, as a kubelet finds it."""
    for one in scene.rig.gateways(scene.victim.region):
        turn = Scene(scene.rig, scene.setup, one)
        drain_and_stop(turn)
        revive(turn, one)
        scene.setup.wait_until_back(scene.rig, one)
