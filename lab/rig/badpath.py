"""A bad path: copies frames between two devices, late and not all of them. Runs until it is killed.

`python -m lab.rig.badpath ONE OTHER DELAY LOSS`; it prints a line when it listens.
"""

from __future__ import annotations

import heapq
import itertools
import random
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field

_ETH_P_ALL = 3
_OUTGOING = 4
_LARGEST = 65536
# More frames than this under way are lost, as in any router's queue: the program must stay small.
_QUEUE = 5000


@dataclass(order=True)
class _Frame:
    due: float
    number: int
    out: socket.socket = field(compare=False)
    content: bytes = field(compare=False)


def forward(one: str, other: str, delay: float, loss: float) -> None:
    """Runs until it is killed."""
    ends = [_open(device) for device in (one, other)]
    selector = selectors.DefaultSelector()
    for here, there in (ends, ends[::-1]):
        selector.register(here, selectors.EVENT_READ, there)
    print("listens", flush=True)
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
