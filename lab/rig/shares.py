"""Do all gateways of a region carry traffic? Bytes of many flows between two regions, by gateway and direction."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from lab.rig.node import pod_addresses
from lab.rig.rig import Rig
from lab.rig.sockets import bound, in_namespace
from network.plan import NodePlan

_FIRST_PORT = 21000
_ROUNDS, _PAUSE = 100, 0.01
_DATA = b"\0" * 1000
_DEVICE = "/sys/class/net/tailscale0/statistics"


@dataclass(frozen=True, kw_only=True)
class Share:
    """`out` and `into` the region: the gateway's share of what its region's gateways carried, from 0 to 1."""

    gateway: str
    out: float
    into: float


def measure(rig: Rig, flows: int) -> list[Share]:
    """So many flows in each direction between the plain nodes of the first two regions; the second one's gateways."""
    here, there = (rig.plain_nodes(region.name) for region in rig.plan.regions[:2])
    gateways = rig.plan.regions[1].gateways
    with ExitStack() as stack:
        senders = [*_flows(rig, here, there, flows, stack), *_flows(rig, there, here, flows, stack)]
        before = [_carried(rig, one) for one in gateways]
        for _ in range(_ROUNDS):
            for sender in senders:
                sender.send(_DATA)
            time.sleep(_PAUSE)
        time.sleep(0.5)
        moved = [
            (after[0] - start[0], after[1] - start[1])
            for start, after in zip(before, (_carried(rig, one) for one in gateways), strict=True)
        ]
    out, into = (sum(one[way] for one in moved) for way in (0, 1))
    return [
        Share(gateway=one.name, out=sent / out, into=received / into)
        for one, (sent, received) in zip(gateways, moved, strict=True)
    ]


def _flows(
    rig: Rig, sources: Sequence[NodePlan], targets: Sequence[NodePlan], count: int, stack: ExitStack
) -> Iterator[socket.socket]:
    """Connected senders, as many on each node, each with an address or a port of its own."""
    ends = [
        (rig.pod_namespace(source), here, rig.pod_namespace(target), there)
        for source, target in zip(sources, targets, strict=True)
        for here, there in zip(pod_addresses(source), pod_addresses(target), strict=True)
    ]
    # The nodes in turn.
    half = len(ends) // len(sources)
    ends = [ends[node * half + number] for number in range(half) for node in range(len(sources))]
    for number in range(count):
        pod, address, other_pod, other = ends[number % len(ends)]
        port = _FIRST_PORT + number // len(ends)
        sender = stack.enter_context(
            in_namespace(pod, partial(bound, socket.SOCK_DGRAM, (address, port + 500)))
        )
        # Somebody must be there, or the way back carries errors.
        stack.enter_context(in_namespace(other_pod, partial(bound, socket.SOCK_DGRAM, (other, port))))
        sender.connect((other, port))
        yield sender


def _carried(rig: Rig, gateway: NodePlan) -> tuple[int, int]:
    """Bytes into the tunnel and out of it, as the kernel counts them on tailscaled's device."""
    told = rig.machine(gateway).sh(f"cat {_DEVICE}/tx_bytes {_DEVICE}/rx_bytes").split()
    return int(told[0]), int(told[1])
