"""Probes to gateways of other regions, directly and through each partner, and the reflector that sends them back.

A probe names its run and its number and carries a keyed hash, so an answer counts once, soon, and only to its sender.
The reflector returns what looks like a probe unchanged: never more bytes than came, and only into the supernets.
"""

from __future__ import annotations

import hmac
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

from agent.config import AgentConfig, Ladder, Target
from agent.udp import UdpPort

MAGIC = b"tspp"
_FIELDS = struct.Struct("!8sBHI")
_MAC_BYTES = 8
SIZE = len(MAGIC) + _FIELDS.size + _MAC_BYTES
DIRECT = 255
FIRST_PORT = 41650
DIRECT_PORT = 41649
# At most so many targets are probed with every beat; the others are looked at now and then.
FAST_TARGETS = 2
SLOW_SECONDS = 2.0
# Reflected per second at most.
REFLECTED = 5000


class Prober:
    """Sends with every beat; knows when each target last answered, directly and through each partner."""

    def __init__(self, config: AgentConfig, ladder: Ladder, clock: Callable[[], float]) -> None:
        self._config, self._ladder, self._clock = config, ladder, clock
        self._boot = os.urandom(8)
        self._number = 0
        self._sent_at: dict[int, float] = {}
        me, port, beat = config.index, config.port, config.timing.beat
        self._home = str(ladder.probes[me][me])
        self._budget = (clock(), REFLECTED)
        # As numbers: each probe of each other region is looked at.
        self._supernets = [(int(one.network_address), int(one.netmask)) for one in config.supernets]
        self._ports = {
            number: UdpPort(str(ladder.probes[number][me]), FIRST_PORT + number, self._receive, beat)
            for number in range(len(config.gateways))
            if number != me
        }
        self._direct = UdpPort(self._home, DIRECT_PORT, self._receive, beat)
        self._reflector = UdpPort(self._home, port, self._reflect, beat)
        # Numbers stand in probes, so nothing is taken out of `_known`; `_targets` has the numbers of those that count.
        self._known: list[Target] = []
        self._found: frozenset[Target] = frozenset()
        self._targets: list[int] = []
        self._fast: dict[int, float] = {}
        self._slow_turn = 0
        self._answered: dict[tuple[int, int], tuple[int, float]] = {}
        self.learn(ladder.targets)

    def learn(self, targets: Iterable[Target]) -> None:
        """
        From now on these are the gateways elsewhere, and those of the configuration. Not every region shall burden the
        same ones: each begins elsewhere in the list.
        """
        found = frozenset((*self._ladder.targets, *targets))
        if found == self._found:
            return
        self._found = found
        wanted = sorted(found, key=lambda target: int(target.address))
        self._known += [target for target in wanted if target not in self._known]
        numbers = [self._known.index(target) for target in wanted]
        start = zlib.crc32(self._config.region.encode()) % max(1, len(numbers))
        self._targets = [*numbers[start:], *numbers[:start]]
        for number in self._fast.keys() - set(numbers):
            del self._fast[number]

    def close(self) -> None:
        for port in (*self._ports.values(), self._direct, self._reflector):
            port.close()

    def direct(self) -> dict[str, float]:
        """By target: when it last answered directly."""
        return {
            self._name(target): at for (path, target), (_, at) in self._answered.items() if path == DIRECT
        }

    def lost(self, among: Iterable[IPv4Address]) -> list[IPv4Address]:
        """Which of these addresses have not answered directly for longer than it takes to ask every target once."""
        heard: dict[IPv4Address, float] = {}
        for (path, target), (_, at) in self._answered.items():
            if path == DIRECT:
                # A file's name and the tailnet's may be the same gateway.
                address = self._known[target].address
                heard[address] = max(at, heard.get(address, at))
        since = self._clock() - SLOW_SECONDS - self._config.timing.silence
        return [address for address in among if heard.get(address, float("-inf")) < since]

    def via(self, partner: int) -> dict[str, float]:
        """By fast target: when it last answered through a partner, or when it was first asked."""
        return {
            self._name(target): max(since, self._answered.get((partner, target), (0, since))[1])
            for target, since in self._fast.items()
        }

    def reached(self, partner: int) -> dict[str, float]:
        """By target, fast or not: when it last answered through a partner."""
        return {
            self._name(target): at for (path, target), (_, at) in self._answered.items() if path == partner
        }

    def beat(self) -> None:
        """Send this beat's probes."""
        now = self._clock()
        self._number += 1
        self._sent_at[self._number] = now
        self._sent_at.pop(self._number - 100, None)
        self._choose(now)
        for target in self._fast:
            self._send(DIRECT, target)
            for partner in self._ports:
                self._send(partner, target)
        for target in self._slow(now):
            for path in (DIRECT, *self._ports):
                self._send(path, target)

    def _name(self, target: int) -> str:
        return self._known[target].name

    def _slow(self, now: float) -> list[int]:
        """The targets whose turn it is: each once in SLOW_SECONDS."""
        others = [target for target in self._targets if target not in self._fast]
        beats = max(1, round(SLOW_SECONDS / self._config.timing.beat))
        self._slow_turn = (self._slow_turn + 1) % beats
        return others[self._slow_turn :: beats]

    def _choose(self, now: float) -> None:
        """Keep the fast targets that answer; replace one that does not by one that does, another region's first."""
        patience = 2 * self._config.timing.silence
        stale = [t for t, since in self._fast.items() if now - max(since, self._heard(t)) > patience]
        if len(self._fast) - len(stale) >= min(FAST_TARGETS, len(self._targets)):
            return
        fresh = [t for t in self._targets if t not in self._fast and now - self._heard(t) <= SLOW_SECONDS * 2]
        for target in self._by_region(fresh):
            if len(self._fast) >= FAST_TARGETS:
                if not stale:
                    return
                del self._fast[stale.pop()]
            self._fast[target] = now

    def _by_region(self, targets: list[int]) -> list[int]:
        used = {self._target(target).region for target in self._fast}
        return sorted(targets, key=lambda target: self._target(target).region in used)

    def _target(self, target: int) -> Target:
        return self._known[target]

    def _heard(self, target: int) -> float:
        return self._answered.get((DIRECT, target), (0, float("-inf")))[1]

    def _send(self, path: int, target: int) -> None:
        content = MAGIC + _FIELDS.pack(self._boot, path, target, self._number)
        to = (str(self._target(target).address), self._config.port)
        (self._direct if path == DIRECT else self._ports[path]).send(content + self._mac(content), to)

    def _mac(self, content: bytes) -> bytes:
        return hmac.digest(self._config.key, content, "sha256")[:_MAC_BYTES]

    def _receive(self, data: bytes, source: tuple[str, int], age: float) -> None:
        if len(data) != SIZE or not data.startswith(MAGIC):
            return
        content = data[:-_MAC_BYTES]
        if not hmac.compare_digest(self._mac(content), data[-_MAC_BYTES:]):
            return
        boot, path, target, number = _FIELDS.unpack(content[len(MAGIC) :])
        sent, now = self._sent_at.get(number), self._clock() - age
        last = self._answered.get((path, target), (0, 0.0))[0]
        if boot != self._boot or sent is None or number <= last:
            return
        if now - sent <= self._config.timing.silence:
            self._answered[path, target] = (number, now)

    def _reflect(self, data: bytes, source: tuple[str, int], age: float) -> None:
        now = self._clock()
        since, left = self._budget
        if now - since >= 1.0:
            since, left = now, REFLECTED
        self._budget = (since, left - 1)
        if left <= 0 or len(data) != SIZE or not data.startswith(MAGIC):
            return
        address = int.from_bytes(socket.inet_aton(source[0]), "big")
        if any(address & mask == network for network, mask in self._supernets):
            self._reflector.send(data, source)
