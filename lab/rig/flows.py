"""Numbered datagrams one way between two addresses, and what became of them."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass, field
from typing import NamedTuple

_NUMBER = struct.Struct("!Q")
# 64 bytes in all: what is measured is reachability, not throughput.
_PADDING = b"\0" * 56
_KEPT = 200


class Judged(NamedTuple):
    """`gap`: the longest time (s) from a lost probe to the next that arrived; `last`: when the last lost one left."""

    sent: int
    lost: int
    gap: float
    last: float

    @property
    def whole(self) -> bool:
        return self.sent > 0 and not self.lost


@dataclass
class Flow:
    """`sent` holds the moments (monotonic seconds) of the probes from number `first` on."""

    sender: socket.socket
    receiver: socket.socket
    first: int = 0
    sent: list[float] = field(default_factory=list)
    arrived: bytearray = field(default_factory=bytearray)

    def send(self) -> None:
        number = self.first + len(self.sent)
        self.sent.append(time.monotonic())
        self.arrived.append(0)
        try:
            self.sender.send(_NUMBER.pack(number) + _PADDING)
        except OSError:
            # No route, or the ICMP error of an earlier one: lost, like any other.
            return

    def receive(self) -> None:
        while True:
            try:
                number = _NUMBER.unpack_from(self.receiver.recv(128))[0]
            except BlockingIOError:
                return
            if self.first <= number < self.first + len(self.sent):
                self.arrived[number - self.first] = 1

    def forget(self) -> None:
        """Drops all but the last probes; numbers go on, so that an old one is not taken for a new one."""
        cut = max(0, len(self.sent) - _KEPT)
        del self.sent[:cut], self.arrived[:cut]
        self.first += cut

    def judged(self, since: float, until: float) -> Judged:
        """What became of the probes that were sent in that time."""
        sent = lost = 0
        gap, began, last = 0.0, 0.0, 0.0
        for moment, arrived in zip(self.sent, self.arrived, strict=True):
            if not since <= moment < until:
                continue
            sent += 1
            if not arrived:
                lost += 1
                began, last = began or moment, moment - since
            elif began:
                gap, began = max(gap, moment - began), 0.0
        return Judged(sent, lost, max(gap, until - began) if began else gap, last)
