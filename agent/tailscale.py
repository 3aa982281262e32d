"""The gateway's tailscaled, watched: is it there, what is in the tailnet, and does it advertise what it shall."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from agent.core.claims import Order
from agent.core.layout import Layout
from agent.localapi import HOST, LocalApi, Tailnet
from agent.log import log

# How often to look while nothing happens and while something does, seconds.
CALM_SECONDS, BUSY_SECONDS = 2.0, 0.2
# How often to compare what is advertised with what shall be, though nothing changed here.
REASSERT_SECONDS = 5.0
RETRY_SECONDS = 0.3


class Tailscale:
    """
    Two tasks: one keeps a connection to tailscaled open, whose end tells at once that it died; the other asks for the
    state of the tailnet and sets what is to be advertised.
    """

    def __init__(self, path: str, layout: Layout) -> None:
        self._path, self._layout = path, layout
        self._api = LocalApi(path)
        self._wake = asyncio.Event()
        self._connected = False
        self._reasserted = float("-inf")
        self._wanted: frozenset[str] | None = None
        self._set: frozenset[str] | None = None
        self.state: Tailnet | None = None
        self.busy = False
        self.patches = self.failures = 0

    @property
    def up(self) -> bool:
        return self._connected and self.state is not None and self.state.running

    @property
    def settled(self) -> bool:
        """Does tailscaled advertise what it shall?"""
        return self._wanted is not None and self._set == self._wanted

    def run(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._watch()), asyncio.create_task(self._poll())]

    def rungs(self) -> list[dict[Order, int]] | None:
        """By gateway number: the deepest rung of each order that it owns in the tailnet."""
        if self.state is None:
            return None
        found: list[dict[Order, int]] = [{} for _ in self._layout.probe_blocks]
        found[self._layout.me] = self._layout.rungs(self.state.me.routes)
        for peer in self.state.peers:
            for number, block in enumerate(self._layout.probe_blocks):
                if block in peer.routes and number != self._layout.me:
                    found[number] = self._layout.rungs(peer.routes)
        return found

    def address(self, number: int) -> str | None:
        """A partner's address in the tailnet; this gateway's own for its own number."""
        if self.state is None:
            return None
        devices = [self.state.me] if number == self._layout.me else self.state.peers
        for device in devices:
            if number == self._layout.me or self._layout.probe_blocks[number] in device.routes:
                return next((address for address in device.addresses if "." in address), None)
        return None

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
            self._wake.set()

    async def _watch(self) -> None:
        request = f"GET /localapi/v0/watch-ipn-bus?mask=0 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
                try:
                    writer.write(request)
                    await writer.drain()
                    self._connected = True
                    self._reasserted = float("-inf")
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
            self._wake.clear()
            try:
                await self._assert()
                self.state = await asyncio.to_thread(self._api.tailnet)
            except OSError as error:
                self.failures += 1
                if self._connected:
                    log("tailscaled refuses", error=str(error))
            calm = not self.busy and (self._wanted is None or self.settled)
            try:
                await asyncio.wait_for(self._wake.wait(), CALM_SECONDS if calm else BUSY_SECONDS)
            except TimeoutError:
                continue

    async def _assert(self) -> None:
        now = time.monotonic()
        wanted = self._wanted
        if wanted is None or not self._connected:
            return
        if self._set == wanted and now - self._reasserted < REASSERT_SECONDS:
            return
        advertised = frozenset(await asyncio.to_thread(self._api.advertised))
        foreign = frozenset(prefix for prefix in advertised if not self._layout.ours(prefix))
        if advertised != wanted | foreign:
            await asyncio.to_thread(self._api.advertise, wanted | foreign)
            self.patches += 1
            log(
                "advertise",
                added=len(wanted - advertised),
                dropped=len(advertised - foreign - wanted),
                all=len(wanted),
            )
        self._set, self._reasserted = wanted, now
