"""A gateway's heartbeats: beats for nodes and partners over the LAN and the tailnet, and questions to witnesses."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from agent import wire
from agent.clock import Clock
from agent.config import AgentConfig
from agent.core.node import Heard
from agent.core.sessions import MOST_SUBSCRIBERS, Listener, Speaker
from agent.udp import UdpPort

# How many machines are asked at once whether they hear a partner.
ASKED = 4
MOST_QUESTIONS = 64
# How often it is passed on that a node lives, seconds; much less than the hour after which it is forgotten.
POPULATE_SECONDS = 30.0


class Side:
    """One of the two sides that partners are heard on, with an address of its own."""

    def __init__(self, config: AgentConfig, address: str, port: UdpPort) -> None:
        self.address, self.port = address, port
        self.speaker = Speaker(config.name, os.urandom(8).hex())
        # What the last beat said, whatever its number was.
        self.said: tuple[object, ...] = ()
        self.listeners = {
            gateway.name: Listener(gateway.name) for gateway in config.gateways if gateway.name != config.name
        }

    def heard(self, name: str) -> Heard:
        return Heard(self.listeners[name].heard, self.listeners[name].last)


class Heartbeats:
    """`populate` is told the pod range of every node that greets."""

    def __init__(self, config: AgentConfig, clock: Clock, populate: Callable[[str, float], None]) -> None:
        self._config, self._clock, self._populate = config, clock, populate
        self._boot = os.urandom(8).hex()
        self._addresses = {gateway.name: str(gateway.address) for gateway in config.gateways}
        own = str(config.node_ip)
        self._partners = frozenset(self._addresses.values())
        self._lan = Side(config, own, UdpPort(own, config.port, self._from_lan, config.timing.beat))
        self._tail: Side | None = None
        self._asked: dict[str, float] = {}
        self._witness: dict[str, float] = {}
        self._populated: dict[str, float] = {}
        self.refused = 0

    @property
    def members(self) -> Mapping[str, float]:
        """By address, when each machine of the LAN was heard last."""
        return self._lan.speaker.members

    @property
    def subscribers(self) -> int:
        return sum(len(side.speaker.subscribers) for side in self._sides())

    def on_lan(self, name: str) -> Heard:
        return self._lan.heard(name)

    def on_tailnet(self, name: str) -> Heard:
        return self._tail.heard(name) if self._tail else Heard()

    def witness(self, name: str) -> float | None:
        """The latest time at which another machine is known to have heard a partner."""
        return self._witness.get(name)

    def join_tailnet(self, address: str | None) -> None:
        """From now on also at this address; None while tailscaled has not said one."""
        if address is None or (self._tail is not None and self._tail.address == address):
            return
        if self._tail is not None:
            self._tail.port.close()
        port = UdpPort(address, self._config.port, self._from_tail, self._config.timing.beat)
        self._tail = Side(self._config, address, port)

    def listen(self, now: float) -> None:
        """Read what has come since the last beat; and at once from now on, while a partner is silent or more waits."""
        for side in self._sides():
            read_all = side.port.read()
            calm = all(
                one.heard is not None and now - one.heard <= self._config.timing.calm
                for one in side.listeners.values()
            )
            side.port.watch(not (calm and read_all))

    # What goes out.

    def greet(self, now: float, tailnet_address: Callable[[str], str | None]) -> None:
        """Hello to every partner whose turn it is, over both sides."""
        for side in self._sides():
            for name, listener in side.listeners.items():
                to = self._addresses[name] if side is self._lan else tailnet_address(name)
                if to is not None and listener.due(now):
                    nonce = os.urandom(8).hex()
                    hello = listener.hello(now, nonce, self._config.name, self._boot, side.address)
                    side.port.send(self._seal(hello), (to, self._config.port))

    def beat(self, now: float, words: Callable[[str, int], wire.Beat]) -> None:
        """
        One beat to those who listen and whose turn it is, and to everybody when it says something new; `words` makes it
        for a run and a number.
        """
        for side in self._sides():
            side.speaker.beat += 1
            beat = words(side.speaker.boot, side.speaker.beat)
            news, side.said = beat.says != side.said, beat.says
            audience = side.speaker.audience(now, all_of_them=news, always=self._partners)
            if audience:
                data = self._seal(beat)
                for to in audience:
                    side.port.send(data, to)

    def ask(self, about: str, now: float) -> None:
        """Ask those who were heard last whether they hear a partner."""
        recent = sorted(
            (at, member) for member, at in self.members.items() if member != self._addresses[about]
        )
        nonce = os.urandom(8).hex()
        self._asked[nonce] = now
        while len(self._asked) > MOST_QUESTIONS:
            del self._asked[next(iter(self._asked))]
        data = self._seal(wire.Ask(sender=self._config.name, boot=self._boot, nonce=nonce, about=about))
        for _, member in recent[-ASKED:]:
            self._lan.port.send(data, (member, self._config.port))

    # What comes in.

    def _from_lan(self, data: bytes, source: tuple[str, int], age: float) -> None:
        self._from(self._lan, data, source, age)

    def _from_tail(self, data: bytes, source: tuple[str, int], age: float) -> None:
        if self._tail is not None:
            self._from(self._tail, data, source, age)

    def _from(self, side: Side, data: bytes, source: tuple[str, int], age: float) -> None:
        message = wire.unseal(data, self._config.region, self._config.key)
        now = self._clock.now() - age
        match message:
            case wire.Hello():
                good = self._greeted(side, message, source, now)
            case wire.Ask():
                good = self._asked_about(side, message, source, now)
            case wire.Say():
                good = self._said(message, source, now)
            case wire.Answer() if message.sender in side.listeners:
                good = side.listeners[message.sender].answered(message, now)
            case wire.Beat() if message.sender in side.listeners:
                good = side.listeners[message.sender].beaten(message, now)
                if good:
                    side.speaker.members[source[0]] = now
            case _:
                good = False
        self.refused += not good

    def _greeted(self, side: Side, hello: wire.Hello, source: tuple[str, int], now: float) -> bool:
        answer = side.speaker.greeted(hello, source, now)
        if answer is None:
            return False
        side.port.send(self._seal(answer), source)
        if hello.pods and source in side.speaker.subscribers:
            self._lives(hello.pods, now)
        return True

    def _lives(self, pods: str, now: float) -> None:
        if now - self._populated.get(pods, float("-inf")) < POPULATE_SECONDS:
            return
        if len(self._populated) >= MOST_SUBSCRIBERS:
            self._populated.clear()
        self._populated[pods] = now
        self._populate(pods, now)

    def _asked_about(self, side: Side, ask: wire.Ask, source: tuple[str, int], now: float) -> bool:
        if ask.about not in self._lan.listeners:
            return False
        heard = self._lan.listeners[ask.about].heard
        age = -1.0 if heard is None else max(0.0, now - heard)
        say = wire.Say(sender=self._config.name, boot=self._boot, nonce=ask.nonce, about=ask.about, age=age)
        side.port.send(self._seal(say), source)
        return True

    def _said(self, say: wire.Say, source: tuple[str, int], now: float) -> bool:
        asked = self._asked.get(say.nonce)
        if asked is None or now - asked > self._config.timing.silence:
            return False
        self._lan.speaker.members[source[0]] = now
        if say.age >= 0:
            self._witness[say.about] = max(now - say.age, self._witness.get(say.about, float("-inf")))
        return True

    def _sides(self) -> list[Side]:
        return [self._lan] if self._tail is None else [self._lan, self._tail]

    def _seal(self, message: wire.Message) -> bytes:
        return wire.seal(message, self._config.region, self._config.key)
