"""The table of failures: every event that is measured, and its promise."""

from __future__ import annotations

import time

from lab.rig import faults, pods
from lab.rig.events import Action, Event, Step, nothing
from lab.rig.scene import Scene


def _cure(scene: Scene) -> None:
    faults.cure(scene.rig, scene.victim)


def _failure(
    title: str,
    fault: faults.Fault,
    undo: Action,
    *,
    worst: float,
    median: float | None = None,
    compared: bool = False,
) -> Event:
    """A fault of one gateway that heals nothing by itself, and its undoing, which must cost nothing."""
    name = title.split(",")[0]
    return Event(
        name=fault.__name__,
        compared=compared,
        steps=(
            Step(
                part="failure",
                title=title,
                do=lambda scene: fault(scene.rig, scene.victim),
                worst=worst,
                median=median,
            ),
            Step(part="recovery", title=f"recovery after: {name}", do=undo, lossless=True),
        ),
    )


def _maintenance(name: str, title: str, do: Action, *, compared: bool = False) -> Event:
    back = Step(part="recovery", title=f"give-back after: {title}", do=pods.revive_victim, lossless=True)
    first = Step(part="failure", title=title, do=do, lossless=True)
    return Event(name=name, compared=compared, steps=(first, back))


def _reboot(scene: Scene) -> None:
    pods.drain_and_stop(scene)
    faults.power_off(scene.rig, scene.victim)


def _control_server_stops(scene: Scene) -> None:
    scene.rig.stop_control_server()
    time.sleep(5)


def _die_without_control_server(scene: Scene) -> None:
    scene.rig.stop_control_server()
    time.sleep(0.5)
    faults.power_off(scene.rig, scene.victim)


def _control_server_back(scene: Scene) -> None:
    scene.rig.start_control_server()


def _both_die(scene: Scene) -> None:
    for one in (scene.victim, scene.partner):
        faults.power_off(scene.rig, one)


def _far_region_dies(scene: Scene) -> None:
    for one in scene.far:
        faults.power_off(scene.rig, one)


def _far_region_back(scene: Scene) -> None:
    for one in scene.far:
        pods.revive(scene, one)


def _agents_stop(scene: Scene) -> None:
    for one in scene.rig.nodes.values():
        faults.kill_agent(scene.rig, one)


def _agents_start(scene: Scene) -> None:
    for one in scene.rig.nodes.values():
        scene.setup.started(scene.rig, one)


EVENTS: tuple[Event, ...] = (
    Event(
        name="nothing",
        compared=True,
        every=4,
        watches_all=True,
        steps=(Step(part="failure", title="nothing wrong", do=nothing, lossless=True),),
    ),
    _failure("power-off of a gateway", faults.power_off, pods.revive_victim, worst=2.0, median=1.0, compared=True),
    _failure("tailscaled killed", faults.kill_tailscaled, pods.revive_victim, worst=2.0, compared=True),
    _failure("gateway pod killed, tailscaled and agent", faults.kill_pod, pods.revive_victim, worst=2.0),
    Event(
        name="kill_agent",
        steps=(
            Step(
                part="failure",
                title="agent killed, forwarding alive",
                do=lambda scene: faults.kill_agent(scene.rig, scene.victim),
                lossless=True,
            ),
            Step(part="recovery", title="agent started again", do=pods.revive_victim, lossless=True),
        ),
    ),
    _failure("LAN side dead, tailnet side alive", faults.lan_dead, _cure, worst=2.0, compared=True),
    _failure("tailnet side dead, LAN side alive", faults.tailnet_dead, _cure, worst=2.0, compared=True),
    _failure("up but not forwarding: ip_forward=0", faults.no_forwarding, _cure, worst=3.0, compared=True),
    _failure("up but not forwarding: a DROP rule", faults.drop_rule, _cure, worst=3.0),
    _failure("up but not forwarding: rp_filter=1", faults.strict_rp_filter, _cure, worst=3.0),
    _failure("up but not forwarding: rp_filter=1 as a rule", faults.strict_packet_filter, _cure, worst=3.0),
    _maintenance("drain", "drain", pods.drain_and_stop, compared=True),
    Event(
        name="rolling",
        compared=True,
        steps=(
            Step(
                part="failure",
                title="rolling update of the region's gateways",
                do=pods.rolling_update,
                lossless=True,
            ),
        ),
    ),
    _maintenance("reboot", "machine reboot announced", _reboot),
    Event(
        name="control",
        compared=True,
        every=4,
        steps=(
            Step(
                part="failure",
                title="control server down alone, 5 s",
                do=_control_server_stops,
                lossless=True,
            ),
            Step(part="recovery", title="control server back", do=_control_server_back, lossless=True),
        ),
    ),
    Event(
        name="control_and_gateway",
        every=4,
        steps=(
            Step(
                part="failure",
                title="power-off while the control server is down: egress",
                do=_die_without_control_server,
                worst=2.0,
                ways=("out",),
            ),
            Step(
                part="server back",
                title="... and the dead one's ingress, once the control server is back",
                do=_control_server_back,
                worst=3.0,
                after=True,
            ),
            Step(part="recovery", title="recovery after it", do=pods.revive_victim, lossless=True),
        ),
    ),
    Event(
        name="cut_off",
        every=4,
        steps=(
            Step(
                part="failure",
                title="region cut off: inside it",
                do=lambda scene: faults.region_cut_off(scene.rig, scene.rig.region(scene.victim)),
                ways=(),
                unchanged_for=5.0,
            ),
            Step(
                part="recovery",
                title="... and healed: traffic to other regions",
                do=lambda scene: faults.region_connected(scene.rig, scene.rig.region(scene.victim)),
                worst=5.0,
                after=True,
            ),
        ),
    ),
    Event(
        name="agents",
        every=4,
        steps=(
            Step(
                part="failure",
                title="all agents stopped",
                do=_agents_stop,
                lossless=True,
                unchanged_for=5.0,
            ),
            Step(part="recovery", title="all agents started again", do=_agents_start, lossless=True),
        ),
    ),
    Event(
        name="far_region",
        every=4,
        steps=(
            Step(part="failure", title="far region dead", do=_far_region_dies, ways=(), unchanged_for=8.0),
            Step(part="recovery", title="far region back", do=_far_region_back, worst=5.0, after=True),
        ),
    ),
    Event(
        name="split_brain",
        steps=(
            Step(
                part="failure",
                title="split brain: gateways cut from each other only",
                do=lambda scene: faults.cut_from_each_other(scene.rig, scene.victim, scene.partner),
                worst=3.0,
            ),
            Step(part="recovery", title="split brain healed", do=_cure, worst=3.0),
        ),
    ),
    Event(
        name="both_die",
        every=4,
        steps=(
            Step(part="failure", title="both gateways of a region die", do=_both_die, ways=()),
            Step(
                part="one back",
                title="... one comes back, from its tailscaled on",
                do=pods.revive_partner,
                worst=5.0,
                after=True,
            ),
            Step(part="recovery", title="... and the other", do=pods.revive_victim, lossless=True),
        ),
    ),
)  # fmt: skip

# The rig has no API server, so there it is unreachable always: lab/rig/cluster.py does this on the whole cluster.
CLUSTER_ONLY: tuple[Event, ...] = (
    Event(
        name="without_api",
        steps=(
            Step(
                part="failure",
                title="power-off while the API server is unreachable",
                do=nothing,
                worst=2.0,
                median=1.0,
            ),
            Step(part="recovery", title="recovery after it, and the API server back", do=nothing, lossless=True),
        ),
    ),
)  # fmt: skip
