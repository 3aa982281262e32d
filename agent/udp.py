"""UDP sockets in the event loop: readers that empty the queue at once, senders that never wait and never raise."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

# IP_FREEBIND (linux/in.h): the address may come later, for example when tailscaled restarts.
IP_FREEBIND = 15
_RECEIVE_BYTES = 2048
# At most so many datagrams in a row, so that a flood leaves time for everything else.
_IN_A_ROW = 64

Receiver = Callable[[bytes, tuple[str, int]], None]


class UdpPort:
    """One bound socket."""

    def __init__(self, address: str, port: int, receive: Receiver) -> None:
        self.address = address
        self._receive = receive
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((address, port))
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)
        self.lost = 0

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        """Send or lose: a full queue or a missing route is one more lost datagram."""
        try:
            self._socket.sendto(data, to)
        except OSError:
            self.lost += 1

    def _read(self) -> None:
        for _ in range(_IN_A_ROW):
            try:
                data, source = self._socket.recvfrom(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                # A pending ICMP error, such as from a host that is down; the next call reads on.
                continue
            self._receive(data, (source[0], source[1]))
