"""A bad path in user space: a cable cut open, with a program in between that delays and loses frames, both ways.

The kernel here has no netem, and a path that bad needs no throughput.
"""

from __future__ import annotations

import heapq
import itertools
import random
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field

from lab import addresses
from lab.rig import lan
from lab.rig.rig import Rig
from lab.rig.world import LOGS
from lab.shell import inside, ip_batch, run
from network.plan import NodePlan

_ETH_P_ALL = 3
_OUTGOING = 4
_LARGEST = 65536
# More frames than this under way are lost, as in any router's queue: the relay must stay small.
_QUEUE = 5000
_ENDS = "rel-a", "rel-b"


@dataclass(order=True)
class _Frame:
    due: float
    number: int
    out: socket.socket = field(compare=False)
    content: bytes = field(compare=False)


def splice(rig: Rig, node: NodePlan, *, delay: float, loss: float) -> subprocess.Popen[bytes]:
    """
    Puts the relay into the cable of a machine on a shared LAN; its process ends it, `unsplice` mends the cable.
    `delay` is added in each direction (s), `loss` is each frame's chance to vanish.
    """
    router, port = lan.router_of(node.region), addresses.machine_port(node.node_ip)
    outer, inner = _ENDS
    # The machine's port leaves the bridge, and a new pair takes its place there.
    ip_batch(
        [
            f"link add {outer} type veth peer name {inner}",
            f"link set {outer} master {addresses.LAN_BRIDGE} up",
            f"link set {inner} up",
            f"link set {port} nomaster",
        ],
        router,
    )
    # A frame that is handed to a program must be whole: checksums filled in, nothing left to cut into segments.
    for device in (outer, inner, port):
        run([*inside(router), "ethtool", "-K", device, "tx", "off", "gso", "off", "tso", "off", "gro", "off"])
    rig.machine(node).run("ethtool", "-K", lan.CABLE, "tx", "off", "gso", "off", "tso", "off")
    words = [sys.executable, "-m", "lab.rig.relay", port, inner, str(delay), str(loss)]
    with (LOGS / "relay.log").open("ab") as log:
        return subprocess.Popen([*inside(router), *words], stdout=log, stderr=log)


def unsplice(node: NodePlan, relay: subprocess.Popen[bytes]) -> None:
    router, port = lan.router_of(node.region), addresses.machine_port(node.node_ip)
    relay.send_signal(signal.SIGKILL)
    relay.wait()
    ip_batch([f"link del {_ENDS[0]}", f"link set {port} master {addresses.LAN_BRIDGE}"], router)


def forward(one: str, other: str, delay: float, loss: float) -> None:
    """Runs until it is killed."""
    ends = [_open(device) for device in (one, other)]
    selector = selectors.DefaultSelector()
    for here, there in (ends, ends[::-1]):
        selector.register(here, selectors.EVENT_READ, there)
    waiting: list[_Frame] = []
    numbers = itertools.count()
    while True:
        timeout = max(0.0, waiting[0].due - time.monotonic()) if waiting else None
        for key, _ in selector.select(timeout):
            source = key.fileobj
            assert isinstance(source, socket.socket)
            content, address = source.recvfrom(_LARGEST)
            if address[2] != _OUTGOING and random.random() >= loss and len(waiting) < _QUEUE:
                heapq.heappush(waiting, _Frame(time.monotonic() + delay, next(numbers), key.data, content))
        while waiting and waiting[0].due <= time.monotonic():
            frame = heapq.heappop(waiting)
            frame.out.send(frame.content)


def _open(device: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    made.bind((device, 0))
    return made


if __name__ == "__main__":
    forward(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
