"""The agent on a gateway: it beats for nodes and partners, judges the partners, and decides what is advertised."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from agent import wire
from agent.clock import Clock
from agent.config import AgentConfig, Ladder
from agent.core.claims import SETTLE_SECONDS, Claims
from agent.core.fitness import Own, Partner
from agent.core.gateway import Decision, GatewayCore
from agent.core.layout import Layout
from agent.core.node import Heard
from agent.core.sessions import Listener, Speaker
from agent.kernel.devices import has_carrier, lan_device
from agent.kernel.netlink import Netlink
from agent.kernel.probing import ProbePaths
from agent.log import log
from agent.prober import Prober
from agent.status import Metrics
from agent.tailscale import Tailscale
from agent.udp import UdpPort

# How often the kernel's rules, addresses and routes of the probes are checked, seconds.
VERIFY_SECONDS = 5.0
# The longest that a stop waits for the partners, seconds; a pod has 30 by default.
DRAIN_SECONDS = 20.0
# How many machines are asked at once whether they hear a partner.
ASKED = 4


class Side:
    """One of the two sides that partners are heard on: the LAN, or the tailnet."""

    def __init__(self, config: AgentConfig, address: str, port: UdpPort) -> None:
        self.address, self.port = address, port
        self.speaker = Speaker(config.name, os.urandom(8).hex())
        self.listeners = {
            gateway.name: Listener(gateway.name) for gateway in config.gateways if gateway.name != config.name
        }


class GatewayAgent:
    """One gateway. `tick` is to be called once per beat."""

    def __init__(self, config: AgentConfig, ladder: Ladder) -> None:
        self._config, self._ladder = config, ladder
        self._clock = Clock(config.timing.beat)
        self._boot = os.urandom(8).hex()
        self._netlink = Netlink()
        self._paths = ProbePaths(self._netlink, config, ladder)
        self._layout = Layout(ladder, len(config.gateways), config.index)
        self._tailscale = Tailscale(ladder.socket, self._layout)
        self._names = [gateway.name for gateway in config.gateways]
        self._addresses = {gateway.name: str(gateway.address) for gateway in config.gateways}
        self._late = 0.0
        self._core: GatewayCore | None = None
        self._decision: Decision | None = None
        self._drain = False
        self._relieved: float | None = None
        self._device: int | None = None
        self._verify = float("-inf")
        self._asked: dict[str, float] = {}
        self._witness: dict[str, float] = {}
        self._refused = 0
        self._ensure_paths(self._clock.now())
        self._prober = Prober(config, ladder, self._clock.now)
        self._lan = Side(
            config, str(config.node_ip), UdpPort(str(config.node_ip), config.port, self._from_lan)
        )
        self._tail: Side | None = None
        self._tasks = self._tailscale.run()
        log("started", role="gateway", name=config.name, region=config.region, number=config.index)

    # What happens with every beat.

    def tick(self) -> None:
        late = self._clock.tick()
        if late:
            self._late += late
            log("late", seconds=round(late, 2))
        now = self._clock.now()
        self._ensure_paths(now)
        self._ensure_tail()
        self._prober.beat()
        self._greet(now)
        core = self._core
        if core is None:
            self._begin()
        else:
            self._follow(core.decide(self._partners(), self._own(), self._tailscale.rungs(), now), now)
        self._beat(now)

    def _begin(self) -> None:
        """The claims that an earlier run left in tailscaled are this one's to begin with."""
        if self._tailscale.state is None or not self._tailscale.state.running:
            return

        async def read() -> None:
            advertised = await self._tailscale.advertised()
            if advertised is None or self._core is not None:
                return
            for prefix in advertised:
                self._layout.populate(prefix, self._clock.now(), heard=False)
            claims = {order: rung for order, rung in self._layout.rungs(advertised).items() if rung > 0}
            self._core = GatewayCore(
                self._names,
                self._addresses,
                self._config.index,
                self._config.timing,
                self._clock.now(),
                Claims(self._config.index, self._layout.orders, claims),
            )
            log("begins", claims={str(order): rung for order, rung in claims.items()}, found=len(advertised))

        self._tasks.append(asyncio.create_task(read()))

    def _follow(self, decision: Decision, now: float) -> None:
        before, self._decision = self._decision, decision
        self._tailscale.advertise(decision.claims)
        self._tailscale.busy = self._drain or bool(decision.claims) or bool(decision.unfit)
        for name in decision.ask:
            self._ask(name, now)
        self._relieved = None if not decision.relieved else self._relieved or now
        if before is None or (before.unfit, before.well, before.claims) != (
            decision.unfit,
            decision.well,
            decision.claims,
        ):
            log(
                "decides",
                well=decision.well,
                unfit=list(decision.unfit),
                reasons=dict(decision.reasons),
                claims={str(order): rung for order, rung in decision.claims.items()},
            )

    def _beat(self, now: float) -> None:
        decision = self._decision
        for side in self._sides():
            side.speaker.beat += 1
            audience = side.speaker.audience(now)
            if not audience:
                continue
            beat = wire.Beat(
                sender=self._config.name,
                boot=side.speaker.boot,
                beat=side.speaker.beat,
                up=self._tailscale.up,
                lan=decision.lan if decision else True,
                far=decision.far if decision else False,
                well=decision.well if decision else self._tailscale.up,
                drain=self._drain,
                unfit=decision.unfit if decision else (),
            )
            data = self._seal(beat)
            for to in audience:
                side.port.send(data, to)

    def _greet(self, now: float) -> None:
        for side in self._sides():
            for name, listener in side.listeners.items():
                to = (
                    self._addresses[name]
                    if side is self._lan
                    else self._tailscale.address(self._names.index(name))
                )
                if to is not None and listener.due(now):
                    hello = listener.hello(
                        now, os.urandom(8).hex(), self._config.name, self._boot, side.address
                    )
                    side.port.send(self._seal(hello), (to, self._config.port))

    def _ask(self, about: str, now: float) -> None:
        """Ask those who were heard last; at most once per beat and name."""
        members = self._lan.speaker.members
        recent = sorted((at, member) for member, at in members.items() if member != self._addresses[about])
        nonce = os.urandom(8).hex()
        self._asked[nonce] = now
        while len(self._asked) > 64:
            del self._asked[next(iter(self._asked))]
        data = self._seal(wire.Ask(sender=self._config.name, boot=self._boot, nonce=nonce, about=about))
        for _, member in recent[-ASKED:]:
            self._lan.port.send(data, (member, self._config.port))

    # What comes in.

    def _from_lan(self, data: bytes, source: tuple[str, int]) -> None:
        self._from(self._lan, data, source)

    def _from_tail(self, data: bytes, source: tuple[str, int]) -> None:
        if self._tail is not None:
            self._from(self._tail, data, source)

    def _from(self, side: Side, data: bytes, source: tuple[str, int]) -> None:
        message = wire.unseal(data, self._config.region, self._config.key)
        now = self._clock.now()
        good = False
        if isinstance(message, wire.Hello):
            answer = side.speaker.greeted(message, source, now)
            if answer is not None and message.pods and source[0] in side.speaker.members:
                self._layout.populate(message.pods, now, heard=True)
            if answer is not None:
                side.port.send(self._seal(answer), source)
                good = True
        elif isinstance(message, wire.Ask):
            self._say(side, message, source, now)
            good = True
        elif isinstance(message, wire.Say):
            good = self._said(message, source, now)
        elif message is not None and message.sender in side.listeners:
            listener = side.listeners[message.sender]
            if isinstance(message, wire.Answer):
                good = listener.answered(message, now)
            elif isinstance(message, wire.Beat):
                good = listener.beaten(message, now)
                if good:
                    side.speaker.members[source[0]] = now
        self._refused += not good

    def _say(self, side: Side, ask: wire.Ask, source: tuple[str, int], now: float) -> None:
        listener = self._lan.listeners.get(ask.about)
        if listener is not None:
            age = -1.0 if listener.heard is None else now - listener.heard
            say = wire.Say(
                sender=self._config.name, boot=self._boot, nonce=ask.nonce, about=ask.about, age=age
            )
            side.port.send(self._seal(say), source)

    def _said(self, say: wire.Say, source: tuple[str, int], now: float) -> bool:
        asked = self._asked.get(say.nonce)
        if asked is None or now - asked > self._config.timing.silence:
            return False
        self._lan.speaker.members[source[0]] = now
        if say.age >= 0:
            self._witness[say.about] = max(now - say.age, self._witness.get(say.about, float("-inf")))
        return True

    # What the core is told.

    def _partners(self) -> Mapping[str, Partner]:
        found = {}
        for number, name in enumerate(self._names):
            if number != self._config.index:
                lan = self._lan.listeners[name]
                tail = self._tail.listeners[name] if self._tail else None
                found[name] = Partner(
                    lan=Heard(lan.heard, lan.last),
                    tail=Heard(tail.heard, tail.last) if tail else Heard(),
                    via=self._prober.via(number),
                    witness=self._witness.get(name),
                )
        return found

    def _own(self) -> Own:
        return Own(
            up=self._tailscale.up,
            carrier=has_carrier(self._device),
            drain=self._drain,
            direct=self._prober.direct(),
            members=dict(self._lan.speaker.members),
        )

    def _sides(self) -> list[Side]:
        return [self._lan] if self._tail is None else [self._lan, self._tail]

    def _seal(self, message: wire.Message) -> bytes:
        return wire.seal(message, self._config.region, self._config.key)

    def _ensure_paths(self, now: float) -> None:
        if now < self._verify:
            return
        self._verify = now + VERIFY_SECONDS
        self._layout.forget(now)
        try:
            self._device = lan_device(self._netlink, self._config)
            self._paths.ensure()
        except OSError as error:
            log("probe paths refused", error=str(error))

    def _ensure_tail(self) -> None:
        address = self._tailscale.address(self._config.index)
        if address is not None and (self._tail is None or self._tail.address != address):
            if self._tail is not None:
                self._tail.port.close()
            self._tail = Side(self._config, address, UdpPort(address, self._config.port, self._from_tail))

    # What the outside asks.

    def healthy(self) -> bool:
        return self._clock.running()

    def ready(self) -> tuple[bool, str]:
        decision = self._decision
        if decision is None:
            return False, "tailscaled does not answer yet"
        if self._drain:
            return False, "drains"
        if not decision.well:
            return False, f"not well: tailscaled {'up' if self._tailscale.up else 'down'}, {decision}"
        if not self._tailscale.heard_of:
            return False, "the other gateways have not heard of all its prefixes yet"
        return True, f"carries traffic; unfit partners: {', '.join(decision.unfit) or 'none'}"

    def drain(self, wanted: bool) -> None:
        if wanted != self._drain:
            log("drain" if wanted else "undrain")
        self._drain, self._relieved = wanted, None

    def drained(self) -> tuple[bool, str]:
        """May this gateway stop without loss?"""
        if not self._drain:
            return False, "no drain was asked for"
        others = (
            [number for number in self._decision.fit if number != self._config.index]
            if self._decision
            else []
        )
        if not others:
            return True, "no partner is fit: nobody could take over"
        if self._relieved is None:
            return False, f"waits for gateways {others} to receive every tile"
        left = SETTLE_SECONDS - (self._clock.now() - self._relieved)
        return (
            left <= 0,
            "relieved" if left <= 0 else f"relieved, waits {left:.1f} s for the others to hear of it",
        )

    async def stop(self) -> None:
        """Drain, beat on until the partners receive everything, then end. What tailscaled advertises stays."""
        self.drain(True)
        until = self._clock.now() + DRAIN_SECONDS
        # Nobody can have taken over before the partners have heard of the drain.
        await asyncio.sleep(self._config.timing.silence)
        while not self.drained()[0] and self._clock.now() < until:
            await asyncio.sleep(self._config.timing.beat)
        log("stopped", drained=self.drained()[1])
        for task in self._tasks:
            task.cancel()

    def metrics(self) -> Metrics:
        decision = self._decision
        found: dict[str, float] = {
            "tailscaled_up": float(self._tailscale.up),
            "well": float(decision.well if decision else 0),
            "far": float(decision.far if decision else 0),
            "drain": float(self._drain),
            "claims": float(len(decision.claims) if decision else 0),
            "ladder_exhausted": float(self._core.claims.exhausted if self._core else 0),
            "advertisements_total": self._tailscale.patches,
            "tailscaled_failures_total": self._tailscale.failures,
            "subscribers": float(sum(len(side.speaker.subscribers) for side in self._sides())),
            "refused_messages_total": self._refused,
            "late_seconds_total": self._late,
        }
        for number, name in enumerate(self._names):
            fit = float(decision is not None and number in decision.fit)
            found[f'gateway_fit{{gateway="{name}"}}'] = fit
        return found
