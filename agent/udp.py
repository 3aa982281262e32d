"""UDP sockets in the event loop: readers that empty the queue, senders that never wait and never raise."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable

# IP_FREEBIND (linux/in.h): the address may come later, for example when tailscaled restarts.
IP_FREEBIND = 15
# Of asm-generic/socket.h, also the type of the message that carries the time: when the kernel took a datagram in, as a
# struct timespec of the wall clock.
SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_RECEIVE_BYTES = 2048
# At most so many datagrams in a row, so that a flood leaves time for everything else.
_IN_A_ROW = 64

# A datagram, who sent it, and how many seconds ago it came.
Receiver = Callable[[bytes, tuple[str, int], float], None]


class UdpPort:
    """
    One bound socket, read as soon as something comes; see `watch`. `oldest`: seconds; a datagram never counts as older,
    whatever becomes of the wall clock between its arrival and the next `read`.
    """

    def __init__(self, address: str, port: int, receive: Receiver, oldest: float) -> None:
        self.address = address
        self._receive, self._oldest = receive, oldest
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind((address, port))
        self.watched = False
        self.watch(True)
        self.lost = 0

    def close(self) -> None:
        self.watch(False)
        self._socket.close()

    def watch(self, wanted: bool) -> None:
        """Whether to read as soon as something comes, or at the next `read` only: waking up is most of the price."""
        if wanted == self.watched:
            return
        self.watched = wanted
        loop = asyncio.get_running_loop()
        if wanted:
            loop.add_reader(self._socket.fileno(), self.read)
        else:
            loop.remove_reader(self._socket.fileno())

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        """Send or lose: a full queue or a missing route is one more lost datagram."""
        try:
            self._socket.sendto(data, to)
        except OSError:
            self.lost += 1

    def read(self) -> bool:
        """Hand over what has come; was that all? If not, `watch` for the rest."""
        for _ in range(_IN_A_ROW):
            try:
                data, ancillary, _, source = self._socket.recvmsg(_RECEIVE_BYTES, _ANCILLARY_BYTES)
            except BlockingIOError:
                return True
            except OSError:
                # A pending ICMP error, such as from a host that is down; the next call reads on.
                continue
            self._receive(data, (source[0], source[1]), min(_age(ancillary), self._oldest))
        return False


def _age(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS) and len(content) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(content)
            return float(max(0.0, time.time() - seconds - nanoseconds / 1e9))
    return 0.0
