"""TCP connections that stay open through an event: ten times a second a few bytes go and come back."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from lab.rig.sockets import bound, in_namespace

EVERY = 0.1
_PORT = 21000
_MESSAGE = b"tailspan"


@dataclass
class Connection:
    """The client's end. `stall` is the longest wait (s) for an answer; `broken` says why it ended, if it did."""

    client: socket.socket
    last_answer: float = 0.0
    stall: float = 0.0
    broken: str = ""

    def tick(self, now: float) -> None:
        if self.broken:
            return
        if self.last_answer:
            self.stall = max(self.stall, now - self.last_answer)
        try:
            self.client.send(_MESSAGE)
        except BlockingIOError:
            # Still connecting, or the send buffer is full of what nobody acknowledges.
            return
        except OSError as problem:
            self.broken = str(problem)

    def receive(self) -> None:
        try:
            data = self.client.recv(4096)
        except BlockingIOError:
            return
        except OSError as problem:
            self.broken = str(problem)
            return
        self.broken = "" if data else "closed by the other side"
        self.last_answer = time.monotonic()


@dataclass(frozen=True)
class End:
    """An address, and the namespace of the pod that has it."""

    pod: str
    address: str


class Connections:
    """Clients in some pods, echo servers in others."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.selector = selector
        self.open: list[Connection] = []
        self.listening: set[End] = set()

    def reopen(self, pairs: Sequence[tuple[End, End]]) -> None:
        """New connections, one for each pair of addresses; the old ones are closed."""
        for connection in self.open:
            self._drop(connection.client)
        for _, target in pairs:
            self._listen(target)
        self.open = [self._connect(source, target) for source, target in pairs]

    def close_silent(self) -> int:
        """Closes what has not answered yet; returns how many are left."""
        for connection in self.open:
            if not connection.last_answer:
                self._drop(connection.client)
        self.open = [connection for connection in self.open if connection.last_answer]
        return len(self.open)

    def tick(self, now: float) -> None:
        for connection in self.open:
            if connection.broken and connection.client.fileno() >= 0:
                self._drop(connection.client)
            connection.tick(now)

    def _listen(self, end: End) -> None:
        if end in self.listening:
            return
        listener = in_namespace(end.pod, partial(bound, socket.SOCK_STREAM, (end.address, _PORT)))
        listener.listen(64)
        self.listening.add(end)
        self.selector.register(listener, selectors.EVENT_READ, partial(self._accept, listener))

    def _accept(self, listener: socket.socket) -> None:
        served, _ = listener.accept()
        served.setblocking(False)
        self.selector.register(served, selectors.EVENT_READ, partial(self._serve, served))

    def _serve(self, served: socket.socket) -> None:
        try:
            data = served.recv(4096)
            if data:
                served.send(data)
                return
        except BlockingIOError:
            return
        except OSError:
            # Reset by the client's side: the client counts it.
            pass
        self._drop(served)

    def _connect(self, source: End, target: End) -> Connection:
        client = in_namespace(source.pod, partial(bound, socket.SOCK_STREAM, (source.address, 0)))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect_ex((target.address, _PORT))
        connection = Connection(client)
        self.selector.register(client, selectors.EVENT_READ, connection.receive)
        return connection

    def _drop(self, one: socket.socket) -> None:
        if one.fileno() >= 0:
            self.selector.unregister(one)
            one.close()
