"""The measuring program: numbered datagrams both ways between pods, and TCP connections that stay open.

One process holds the sockets of all pods, so both ends share one clock. It reads commands, one JSON list a line, and
answers each with one line.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from lab.rig.connections import EVERY, Connections, End
from lab.rig.flows import Flow, Judged
from lab.rig.sockets import bound, in_namespace

_UDP_PORT = 20000
# A probe that is still missing after this long (s) was lost; on the way it is not held up longer than this.
LATE = 0.5


class Prober:
    """`order`: the interval (s), and for each stream its flows as [pod, address, pod, address]."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.interval = float(order["interval"])
        self.selector = selectors.DefaultSelector()
        self.pairs = {
            name: [(End(*flow[:2]), End(*flow[2:])) for flow in flows]
            for name, flows in order["streams"].items()
        }
        self.streams = {name: [self._flow(*pair) for pair in pairs] for name, pairs in self.pairs.items()}
        self.connections = Connections(self.selector)
        self.watched = self.streams
        self.begun = time.monotonic()
        self.quit = False

    def _flow(self, source: End, target: End) -> Flow:
        kind = socket.SOCK_DGRAM
        port = _UDP_PORT + int(IPv4Address(source.address)) % 100
        # Another port than the receiver's: the other direction has its receivers in the same pod.
        sender = in_namespace(source.pod, partial(bound, kind, (source.address, port + 500)))
        receiver = in_namespace(target.pod, partial(bound, kind, (target.address, port)))
        sender.connect((target.address, port))
        flow = Flow(sender, receiver)
        self.selector.register(receiver, selectors.EVENT_READ, flow.receive)
        return flow

    # Commands.

    def connect(self, count: int) -> dict[str, Any]:
        """Opens TCP connections anew, so many, along the flows of the first stream."""
        pairs = next(iter(self.pairs.values()))
        self.connections.reopen(pairs[:: max(1, len(pairs) // count)][:count])
        return {}

    def close_silent(self) -> dict[str, Any]:
        """Gives up TCP connections that have not answered yet; returns how many are left."""
        return {"open": self.connections.close_silent()}

    def watch(self, seconds: float) -> dict[str, Any]:
        """
        From now on only flows count that lost nothing in the last `seconds`; 0: all of them. Returns how many count
        and how many there are.
        """
        until = time.monotonic() - LATE / 2
        self.watched = {
            name: [flow for flow in flows if not seconds or flow.judged(until - seconds, until).whole]
            for name, flows in self.streams.items()
        }
        return {"watched": sum(map(len, self.watched.values())), "all": len(self._all())}

    def begin(self) -> dict[str, Any]:
        """A new window: what was sent before does not count."""
        self.begun = time.monotonic()
        for flow in self._all():
            flow.forget()
        for connection in self.connections.open:
            connection.stall = 0.0
        return {}

    def good(self, seconds: float) -> dict[str, Any]:
        """How many flows of each stream lost a probe in the last `seconds`; what may be on its way is left out."""
        until = time.monotonic() - LATE / 2
        bad = {
            name: sum(1 for judged in self._judged(name, until - seconds, until) if not judged.whole)
            for name in self.watched
        }
        answered = sum(1 for one in self.connections.open if one.last_answer and not one.broken)
        return {"bad": {name: count for name, count in bad.items() if count}, "tcp_answered": answered}

    def end(self) -> dict[str, Any]:
        """The window's figures up to now; the last probes are waited for, so that late is not lost."""
        until = time.monotonic()
        self.serve_until(until + LATE)
        streams = {name: _figures(self._judged(name, self.begun, until)) for name in self.watched}
        tcp = {
            "open": len(self.connections.open),
            "broken": [one.broken for one in self.connections.open if one.broken],
            "stall": max((one.stall for one in self.connections.open), default=0.0),
        }
        return {"seconds": until - self.begun, "streams": streams, "tcp": tcp}

    def obey(self) -> None:
        line = sys.stdin.readline()
        if not line:
            self.quit = True
            return
        verb, *arguments = json.loads(line)
        print(json.dumps(getattr(self, verb)(*arguments)), flush=True)

    # The loop.

    def _all(self) -> list[Flow]:
        return [flow for flows in self.streams.values() for flow in flows]

    def _judged(self, stream: str, since: float, until: float) -> list[Judged]:
        return [flow.judged(since, until) for flow in self.watched[stream]]

    def serve_until(self, deadline: float) -> None:
        next_probe = next_tcp = time.monotonic()
        while not self.quit and (now := time.monotonic()) < deadline:
            if now >= next_probe:
                for flow in self._all():
                    flow.send()
                # A late tick is not made up for: a burst would be another measurement.
                next_probe = max(next_probe + self.interval, now)
            if now >= next_tcp:
                self.connections.tick(now)
                next_tcp = now + EVERY
            wait = min(next_probe, next_tcp, deadline) - time.monotonic()
            for key, _ in self.selector.select(max(0.0, wait)):
                key.data()


def _figures(flows: list[Judged]) -> dict[str, Any]:
    return {
        "sent": sum(flow.sent for flow in flows),
        "lost": sum(flow.lost for flow in flows),
        "gap": max((flow.gap for flow in flows), default=0.0),
        "last": max((flow.last for flow in flows), default=0.0),
        "flows": len(flows),
    }


def main() -> None:
    prober = Prober(json.loads(sys.stdin.readline()))
    print(json.dumps({"ready": True}), flush=True)
    prober.selector.register(sys.stdin, selectors.EVENT_READ, prober.obey)
    prober.serve_until(float("inf"))


if __name__ == "__main__":
    main()
