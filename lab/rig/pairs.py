"""Every pair of gateways, one for the way out and one for the way back: does it carry TCP, UDP and ICMP?"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from lab.rig import routes
from lab.rig.node import pod_addresses
from lab.rig.rig import Rig
from lab.rig.streams import Streams
from lab.shell import LabError
from network.plan import NodePlan

_FLOWS = 4


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What of the three came through both ways without a loss."""

    out: str
    back: str
    tcp: bool
    udp: bool
    icmp: bool


def check(rig: Rig) -> list[Pair]:
    """All pairs between the first two regions; leaves the nodes' routes spread over all gateways."""
    here, there = (rig.plain_nodes(region.name)[0] for region in rig.plan.regions[:2])
    streams = Streams.on_rig(rig, [(here, there)], flows=_FLOWS)
    outs, backs = rig.gateways(here.region), rig.gateways(there.region)
    try:
        return [
            _check(rig, streams, (here, out), (there, back)) for out, back in itertools.product(outs, backs)
        ]
    finally:
        streams.close()
        routes.spread_everywhere(rig)


def _check(
    rig: Rig, streams: Streams, out: tuple[NodePlan, NodePlan], back: tuple[NodePlan, NodePlan]
) -> Pair:
    for node, gateway in (out, back):
        routes.spread(rig, node, [gateway])
    return Pair(
        out=out[1].name,
        back=back[1].name,
        udp=streams.wait_until_good(seconds=0.5, within=3) is not None,
        tcp=_tcp(streams),
        icmp=_icmp(rig, out[0], back[0]),
    )


def _tcp(streams: Streams) -> bool:
    try:
        streams.connect(_FLOWS, within=2)
    except LabError:
        return False
    return True


def _icmp(rig: Rig, source: NodePlan, target: NodePlan) -> bool:
    words = ["ip", "netns", "exec", "pod", "ping", "-q", "-c5", "-i0.05", "-W1", pod_addresses(target)[0]]
    return "5 received" in rig.machine(source).run(*words, check=False).stdout


def forget_notrack(rig: Rig) -> None:
    """The negative control: gateways track cross-region flows of which they see one direction only."""
    for gateway in rig.gateways():
        rig.machine(gateway).sh("nft flush chain inet tailspan transit")
