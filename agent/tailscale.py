"""The gateway's tailscaled, watched: is it there, what is in the tailnet, and does it advertise what it shall."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address

from agent.config import Target
from agent.core.claims import SETTLE_SECONDS, Order
from agent.core.layout import Layout
from agent.localapi import HOST, Device, LocalApi, Tailnet
from agent.log import log

# How often to look while nothing happens and while something does, seconds.
CALM_SECONDS, BUSY_SECONDS = 5.0, 0.5
# How often to compare what is advertised with what shall be, though nothing changed here.
REASSERT_SECONDS = 5.0
RETRY_SECONDS = 0.3
# How often to look for the way to peers that do not answer, seconds, and for how many at once.
SEEK_SECONDS, SOUGHT = 1.0, 3
# For how long to go on when they answer, seconds.
LINGER_SECONDS = 6.0
# However much tailscaled reports, its state is not asked for more often than this, seconds.
APART_SECONDS = 0.15
# ipn.NotifyPeerChanges, NotifyPeerPatches, NotifyNoNetMap: a line for every change of a peer, never the whole map.
WATCHED = 1 << 12 | 1 << 15 | 1 << 13


class Tailscale:
    """
    Four tasks: one keeps a connection to tailscaled open, whose end tells at once that it died; one asks for the
    state of the tailnet; one sets what is to be advertised, without waiting for the others; and one looks for the way
    to gateways that do not answer. Left alone, tailscaled 1.102 looks every 5 s (wgengine/magicsock/endpoint.go,
    discoPingInterval), and so finds a way that is there again up to 5 s late.
    """

    def __init__(self, path: str, layout: Layout) -> None:
        self._path, self._layout = path, layout
        self._api = LocalApi(path)
        self._wake, self._news = asyncio.Event(), asyncio.Event()
        self._foreign: frozenset[str] = frozenset()
        self._connected = False
        self._wanted: frozenset[str] | None = None
        self._set: frozenset[str] | None = None
        self.state: Tailnet | None = None
        self._rungs: list[dict[Order, int]] = []
        # The last known one of each gateway: a dead partner's is needed to hear that it is back.
        self._addresses: dict[int, str] = {}
        # Gateways of other regions, as they are in the tailnet now.
        self.targets: frozenset[Target] = frozenset()
        # By the address that each answers probes at: its tailnet address, for as long as it is in the tailnet at all.
        self.elsewhere: dict[IPv4Address, str] = {}
        # Those among them that do not answer.
        self.lost: Sequence[str] = ()
        # How often tailscaled was found anew: it has been restarted.
        self.connections = 0
        # What this tailscaled, not the one before, has last said of itself.
        self._running: bool | None = None
        self.busy = False
        self.patches = self.failures = 0
        self._changed = float("-inf")

    @property
    def up(self) -> bool:
        return self._connected and self._running is True

    @property
    def said(self) -> bool | None:
        """The same, and None until the tailscaled that is there has said what it is."""
        return self._running if self._connected else None

    @property
    def settled(self) -> bool:
        """Does tailscaled advertise what it shall?"""
        return self._wanted is not None and self._set == self._wanted

    @property
    def heard_of(self) -> bool:
        """
        Has it done so for long enough that the other gateways have heard of it? The own state does not tell: headscale
        0.29 does not send a device its own new prefixes.
        """
        return self.settled and time.monotonic() - self._changed >= SETTLE_SECONDS

    def run(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(one()) for one in (self._watch, self._poll, self._assert, self._seek)]

    def rungs(self) -> Sequence[Mapping[Order, int]] | None:
        """By gateway number: the deepest rung of each order that it owns in the tailnet; of this one nothing."""
        return None if self.state is None else self._rungs

    def _read(self, state: Tailnet) -> None:
        found: list[dict[Order, int]] = [{} for _ in self._layout.probe_blocks]
        addresses: dict[int, str] = {}
        targets: set[Target] = set()
        elsewhere = dict(self.elsewhere)
        for device in (state.me, *state.peers):
            number = self._number(device, state)
            if number is None:
                there = tuple(self._layout.elsewhere(device.routes))
                targets.update(there)
                elsewhere |= {target.address: address for target in there for address in device.addresses[:1]}
                continue
            if device.addresses:
                addresses[number] = device.addresses[0]
            if device is not state.me:
                found[number] = self._layout.rungs(device.routes)
                for prefix in device.routes:
                    self._layout.populate(prefix, time.monotonic(), heard=False)
        self.state, self._rungs, self.targets = state, found, frozenset(targets)
        self._running = state.running
        self._addresses |= addresses
        present = {address for device in state.peers for address in device.addresses}
        self.elsewhere = {at: address for at, address in elsewhere.items() if address in present}

    def _number(self, device: Device, state: Tailnet) -> int | None:
        """Which gateway of this region a device is: its probe addresses tell."""
        if device is state.me:
            return self._layout.me
        blocks = self._layout.probe_blocks
        return next((number for number, block in enumerate(blocks) if block in device.routes), None)

    def address(self, number: int) -> str | None:
        """A partner's address in the tailnet; this gateway's own for its own number."""
        return self._addresses.get(number)

    async def advertised(self) -> frozenset[str] | None:
        """What tailscaled advertises of the region now; None while it does not answer."""
        try:
            prefixes = await asyncio.to_thread(self._api.advertised)
        except OSError:
            return None
        return frozenset(prefix for prefix in prefixes if self._layout.ours(prefix))

    def advertise(self, claims: Mapping[Order, int]) -> None:
        """From now on, these claims; set by the polling task, at once."""
        wanted = self._layout.advertised(claims)
        if wanted != self._wanted:
            self._wanted = wanted
            self._news.set()

    async def _watch(self) -> None:
        request = f"GET /localapi/v0/watch-ipn-bus?mask={WATCHED} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
                try:
                    writer.write(request)
                    await writer.drain()
                    self._connected = True
                    self._running = None
                    self.connections += 1
                    self._set = None
                    self._news.set()
                    self._wake.set()
                    # Whatever it says means: look again.
                    while await reader.read(1 << 16):
                        self._wake.set()
                finally:
                    writer.close()
            except OSError:
                pass
            if self._connected:
                log("tailscaled is gone")
            self._connected = False
            await asyncio.sleep(RETRY_SECONDS)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(APART_SECONDS)
            self._wake.clear()
            try:
                self._read(await asyncio.to_thread(self._api.tailnet))
            except OSError as error:
                self._failed(error)
            await _within(self._wake, BUSY_SECONDS if self.busy or not self.settled else CALM_SECONDS)

    async def _assert(self) -> None:
        """At once what is new, and every few seconds whether it is still so: others may write preferences, too."""
        while True:
            self._news.clear()
            try:
                if self._wanted is not None and self._connected:
                    await self._set_to(self._wanted)
            except OSError as error:
                self._set = None
                self._failed(error)
            await _within(
                self._news, REASSERT_SECONDS if self.settled or not self._connected else RETRY_SECONDS
            )

    async def _set_to(self, wanted: frozenset[str]) -> None:
        before = self._set
        if before is None or before == wanted:
            advertised = frozenset(await asyncio.to_thread(self._api.advertised))
            self._foreign = frozenset(prefix for prefix in advertised if not self._layout.ours(prefix))
            before = advertised - self._foreign
        if before != wanted:
            await asyncio.to_thread(self._api.advertise, wanted | self._foreign)
            self.patches += 1
            self._changed = time.monotonic()
            log("advertise", added=len(wanted - before), dropped=len(before - wanted), all=len(wanted))
            self._wake.set()
        self._set = wanted

    async def _seek(self) -> None:
        turn = 0
        sought: dict[str, float] = {}
        # Threads of its own: a take-over must not stand behind those that wait for an answer.
        threads = ThreadPoolExecutor(SOUGHT, thread_name_prefix="seek")
        loop = asyncio.get_running_loop()
        while True:
            now = time.monotonic()
            sought |= dict.fromkeys(self.lost, now)
            # One that answers again may do so by way of a relay only.
            sought = {address: at for address, at in sought.items() if now - at <= LINGER_SECONDS}
            turn = turn if turn < len(sought) else 0
            these = [*sought][turn : turn + SOUGHT] if self.up else []
            turn += SOUGHT
            tries = [loop.run_in_executor(threads, self._api.seek, address) for address in these]
            # Nobody answers, mostly; probes will tell when that has changed.
            await asyncio.gather(asyncio.sleep(SEEK_SECONDS), *tries, return_exceptions=True)

    def _failed(self, error: OSError) -> None:
        self.failures += 1
        if self._connected:
            log("tailscaled refuses", error=str(error))


async def _within(event: asyncio.Event, seconds: float) -> None:
    """Until the event, or for so long."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
