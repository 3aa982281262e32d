"""The agent on a node: it listens to the region's gateways and keeps the routes to other regions over the good ones."""

from __future__ import annotations

import os
from collections.abc import Sequence

from agent import wire
from agent.clock import Clock
from agent.config import AgentConfig
from agent.core.node import Heard, NodeCore
from agent.core.sessions import Listener
from agent.kernel.loose import LooseFilter
from agent.kernel.netlink import Netlink
from agent.kernel.routes import NodeRoutes
from agent.log import log
from agent.status import Metrics
from agent.udp import UdpPort

# How often the kernel is asked whether the routes are still as they were set, seconds.
VERIFY_SECONDS = 5.0


class NodeAgent:
    """One node. `tick` is to be called once per beat."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._clock = Clock(config.timing.beat)
        self._boot = os.urandom(8).hex()
        self._listeners = [Listener(gateway.name) for gateway in config.gateways]
        self._by_address = {
            str(gateway.address): listener
            for gateway, listener in zip(config.gateways, self._listeners, strict=True)
        }
        netlink = Netlink()
        self._routes = NodeRoutes(netlink, config)
        self._filter = LooseFilter(netlink, config)
        now = self._clock.now()
        self._core = NodeCore(
            [gateway.name for gateway in config.gateways], config.timing, now, self._routes.current()
        )
        self._set = self._core.current
        self._verify = now + VERIFY_SECONDS
        self._late = 0.0
        self._changes = self._refused = 0
        self._port = UdpPort(str(config.node_ip), config.port, self._receive, config.timing.beat)
        log("started", role="node", name=config.name, region=config.region, gateways=list(self._set))

    def tick(self) -> None:
        late = self._clock.tick()
        if late:
            self._late += late
            log("late", seconds=round(late, 2))
        now = self._clock.now()
        self._filter.tick(now)
        read_all = self._port.read()
        for address, listener in self._by_address.items():
            if listener.due(now):
                hello = listener.hello(
                    now,
                    os.urandom(8).hex(),
                    self._config.name,
                    self._boot,
                    str(self._config.node_ip),
                    str(self._config.pods),
                )
                self._port.send(self._seal(hello), (address, self._config.port))
        heard = [Heard(listener.heard, listener.last) for listener in self._listeners]
        # A gateway asks about another one soon after that has fallen silent, and waits for what this node says.
        calm = all(one.at is not None and now - one.at <= self._config.timing.calm for one in heard)
        self._port.watch(not (calm and read_all))
        self._apply(self._core.choose(heard, now), now)

    def _apply(self, chosen: Sequence[int], now: float) -> None:
        if not chosen:
            return
        if now >= self._verify:
            self._verify = now + VERIFY_SECONDS
            if not self._routes.in_place(chosen):
                self._set = ()
        if tuple(chosen) == self._set:
            return
        try:
            self._routes.use(chosen)
        except OSError as error:
            log("routes refused", error=str(error), gateways=list(chosen))
            return
        log(
            "routes",
            gateways=[self._config.gateways[number].name for number in chosen],
            before=list(self._set),
        )
        self._set = tuple(chosen)
        self._changes += 1

    def _receive(self, data: bytes, source: tuple[str, int], age: float) -> None:
        now = self._clock.now() - age
        listener = self._by_address.get(source[0])
        message = wire.unseal(data, self._config.region, self._config.key) if listener else None
        if listener is None or message is None:
            self._refused += 1
        elif isinstance(message, wire.Beat):
            self._refused += not listener.beaten(message, now)
        elif isinstance(message, wire.Answer):
            self._refused += not listener.answered(message, now)
        elif isinstance(message, wire.Ask):
            about = next((one for one in self._listeners if one.name == message.about), None)
            if about is not None:
                age = -1.0 if about.heard is None else max(0.0, now - about.heard)
                self._port.send(self._seal(self._say(message, age)), source)

    def _say(self, ask: wire.Ask, age: float) -> wire.Say:
        return wire.Say(
            sender=self._config.name, boot=self._boot, nonce=ask.nonce, about=ask.about, age=round(age, 3)
        )

    def _seal(self, message: wire.Message) -> bytes:
        return wire.seal(message, self._config.region, self._config.key)

    @property
    def identity(self) -> str:
        return self._config.identity

    def healthy(self) -> bool:
        return self._clock.running()

    def ready(self) -> tuple[bool, str]:
        return bool(self._set), f"routes over gateways {list(self._set)}"

    def drain(self, wanted: bool) -> None:
        """A node carries nobody else's traffic."""

    def drained(self) -> tuple[bool, str]:
        return True, "a node carries nobody else's traffic"

    async def hand_over(self) -> str:
        return self.drained()[1]

    async def stop(self) -> None:
        self._port.close()
        log("stopped", routes="left as they are")

    def metrics(self) -> Metrics:
        now = self._clock.now()
        found = {
            f'gateway_in_use{{gateway="{gateway.name}"}}': float(number in self._set)
            for number, gateway in enumerate(self._config.gateways)
        }
        found |= {
            f'gateway_silence_seconds{{gateway="{one.name}"}}': now - one.heard
            for one in self._listeners
            if one.heard is not None
        }
        return found | {
            "route_changes_total": self._changes,
            "refused_messages_total": self._refused,
            "lost_sends_total": self._port.lost,
            "rp_filter_repairs_total": self._filter.repairs,
            "late_seconds_total": self._late,
        }
