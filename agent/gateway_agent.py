"""The agent on a gateway: it brings together what is heard, what is probed and what tailscaled says, and acts on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent import wire
from agent.clock import Clock
from agent.config import AgentConfig, Ladder
from agent.core.claims import SETTLE_SECONDS, Claims
from agent.core.cloud_routes import view_of
from agent.core.fitness import Own, Partner
from agent.core.gateway import Decision, GatewayCore
from agent.core.layout import Layout
from agent.heartbeats import Heartbeats
from agent.kernel.devices import Carrier, lan_device
from agent.kernel.hush import Hush
from agent.kernel.loose import LooseFilter
from agent.kernel.netlink import Netlink
from agent.kernel.probing import ProbePaths
from agent.kernel.rebind import Nudge
from agent.log import log
from agent.prober import Prober
from agent.status import Metrics
from agent.tailscale import Tailscale

if TYPE_CHECKING:
    from agent.aws.follower import RouteFollower

# How often the kernel's rules, addresses and routes of the probes are checked, seconds.
VERIFY_SECONDS = 5.0
# The longest that a stop waits for the partners, seconds; a pod has 30 by default.
DRAIN_SECONDS = 20.0
ANSWER_SECONDS = 0.3


class GatewayAgent:
    """One gateway. `tick` is to be called once per beat."""

    def __init__(self, config: AgentConfig, ladder: Ladder) -> None:
        self._config = config
        self._clock = Clock(config.timing.beat)
        self._netlink = Netlink()
        self._paths = ProbePaths(self._netlink, config, ladder)
        self._nudge = Nudge(self._netlink)
        self._hush = Hush(self._netlink)
        self._filter = LooseFilter(self._netlink, config)
        self._layout = Layout(ladder, len(config.gateways), config.index, config.supernets[-1])
        self._tailscale = Tailscale(ladder.socket, self._layout)
        self._names = [gateway.name for gateway in config.gateways]
        self._numbers = {name: number for number, name in enumerate(self._names)}
        self._partners = [name for name in self._names if name != config.name]
        self._core: GatewayCore | None = None
        self._decision: Decision | None = None
        self._drain = False
        # Which tailscaled was to be drained: the next one carries traffic.
        self._drained_one = 0
        self._relieved: float | None = None
        self._device: int | None = None
        self._carrier = Carrier()
        self._verify = float("-inf")
        self._late = 0.0
        self._ensure_paths(self._clock.now())
        self._prober = Prober(config, ladder, self._clock.now)
        self._heartbeats = Heartbeats(config, self._clock, self._populate)
        self._tasks = self._tailscale.run()
        self._follower: RouteFollower | None = None
        if config.cloud_routes:
            # Only here: XML and TLS are much to load for a gateway that has no such routes.
            from agent.aws.follower import follower_of

            self._follower = follower_of(config, config.cloud_routes, self._clock.now)
            self._tasks.append(asyncio.create_task(self._follower.run()))
        log("started", role="gateway", name=config.name, region=config.region, number=config.index)

    def tick(self) -> None:
        late = self._clock.tick()
        if late:
            self._late += late
            log("late", seconds=round(late, 2))
        now = self._clock.now()
        if self._drain and self._tailscale.up and self._tailscale.connections != self._drained_one:
            self.drain(False)
        self._ensure_paths(now)
        self._filter.tick(now)
        self._mind_a_fresh_tailscaled(now)
        self._heartbeats.join_tailnet(self._tailscale.address(self._config.index))
        self._heartbeats.listen(now)
        self._prober.learn(self._tailscale.targets)
        self._prober.beat()
        elsewhere = self._tailscale.elsewhere
        self._tailscale.lost = [elsewhere[address] for address in self._prober.lost(elsewhere)]
        self._heartbeats.greet(now, lambda name: self._tailscale.address(self._numbers[name]))
        if self._core is None:
            self._begin()
        else:
            seen = {name: self._seen(name) for name in self._partners}
            self._core.claims.orders = self._layout.orders
            self._follow(self._core.decide(seen, self._own(), self._tailscale.rungs(), now), now)
        self._heartbeats.beat(now, self._words)

    def _begin(self) -> None:
        """The claims that an earlier run left in tailscaled are this one's to begin with."""
        if self._tailscale.state is None or not self._tailscale.state.running:
            return

        async def read() -> None:
            advertised = await self._tailscale.advertised()
            if advertised is None or self._core is not None:
                return
            now, config = self._clock.now(), self._config
            for prefix in advertised:
                self._layout.populate(prefix, now, heard=False)
            rungs = {order: rung for order, rung in self._layout.rungs(advertised).items() if rung > 0}
            addresses = {gateway.name: str(gateway.address) for gateway in config.gateways}
            claims = Claims(config.index, self._layout.orders, rungs)
            self._core = GatewayCore(self._names, addresses, config.index, config.timing, now, claims)
            log("begins", claims=_shown(rungs), found=len(advertised))

        self._tasks.append(asyncio.create_task(read()))

    def _follow(self, decision: Decision, now: float) -> None:
        before, self._decision = self._decision, decision
        self._tailscale.advertise(decision.claims)
        self._tailscale.busy = self._drain or bool(decision.claims) or bool(decision.unfit)
        for name in decision.ask:
            self._heartbeats.ask(name, now)
        self._relieved = None if not decision.relieved else self._relieved or now
        told = ("unfit", "well", "claims", "fit")
        if before is None or any(getattr(before, name) != getattr(decision, name) for name in told):
            log(
                "decides",
                well=decision.well,
                fit=[self._names[number] for number in decision.fit],
                unfit=list(decision.unfit),
                reasons=dict(decision.reasons),
                claims=_shown(decision.claims),
            )
        if self._follower:
            view = view_of(decision, self._config.index, drain=self._drain)
            self._follower.see(view, drain=self._drain)

    def _words(self, boot: str, beat: int) -> wire.Beat:
        decision, up = self._decision, self._tailscale.up
        return wire.Beat(
            sender=self._config.name,
            boot=boot,
            beat=beat,
            up=up,
            lan=decision.lan if decision else True,
            far=decision.far if decision else False,
            well=decision.well if decision else up,
            drain=self._drain,
            unfit=decision.unfit if decision else (),
            trusted=tuple(self._names[number] for number in decision.fit) if decision else (),
        )

    def _seen(self, name: str) -> Partner:
        return Partner(
            lan=self._heartbeats.on_lan(name),
            tail=self._heartbeats.on_tailnet(name),
            via=self._prober.via(self._numbers[name]),
            reached=self._prober.reached(self._numbers[name]),
            witness=self._heartbeats.witness(name),
        )

    def _own(self) -> Own:
        return Own(
            up=self._tailscale.up,
            loose=self._filter.kept,
            carrier=self._carrier.there(self._device),
            drain=self._drain,
            direct=self._prober.direct(),
            members=self._heartbeats.members,
        )

    def _populate(self, pods: str, now: float) -> None:
        self._layout.populate(pods, now, heard=True)

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

    def _mind_a_fresh_tailscaled(self, now: float) -> None:
        try:
            self._hush.tick(self._tailscale.said, now)
        except OSError as error:
            log("tailnet device not kept quiet", error=str(error))
        try:
            self._nudge.tick(self._tailscale.connections, self._tailscale.up, now)
        except OSError as error:
            log("tailscaled not nudged", error=str(error))

    # What the outside asks.

    @property
    def identity(self) -> str:
        return self._config.identity

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
        if decision.doubted:
            return False, f"not trusted yet by {', '.join(decision.doubted)}, which waits until it forwards"
        return True, f"carries traffic; unfit partners: {', '.join(decision.unfit) or 'none'}"

    def drain(self, wanted: bool) -> None:
        if wanted != self._drain:
            log("drain" if wanted else "undrain")
        self._drain, self._relieved = wanted, None
        self._drained_one = self._tailscale.connections

    def drained(self) -> tuple[bool, str]:
        """May this gateway stop without loss?"""
        if not self._drain:
            return False, "no drain was asked for"
        decision = self._decision
        fit = decision.fit if decision else ()
        others = [self._names[number] for number in fit if number != self._config.index]
        if not others and decision and decision.returning:
            return False, f"waits for {', '.join(decision.returning)} to carry traffic again"
        if not others:
            return True, "no partner is fit: nobody could take over"
        if self._relieved is None:
            return False, f"waits for {', '.join(others)} to receive every tile"
        left = SETTLE_SECONDS - (self._clock.now() - self._relieved)
        if left > 0:
            return False, f"relieved, waits {left:.1f} s for others to hear of it"
        held = self._follower.waits() if self._follower else None
        return held is None, f"relieved, {held}" if held else "relieved"

    async def hand_over(self) -> str:
        """Drain and wait until the partners receive everything, but not for ever; returns what came of it."""
        self.drain(True)
        until = self._clock.now() + DRAIN_SECONDS
        # Nobody can have taken over before the partners have heard of the drain.
        await asyncio.sleep(self._config.timing.silence)
        while not self.drained()[0] and self._clock.now() < until:
            await asyncio.sleep(self._config.timing.beat)
        return self.drained()[1]

    async def stop(self) -> None:
        """Hand over, beating on, then end. What tailscaled advertises stays."""
        log("stopped", drained=await self.hand_over())
        # Whoever asked for the same may still wait for the answer.
        await asyncio.sleep(ANSWER_SECONDS)
        # Nothing is awaited after this, so no beat comes that might quieten it again.
        with contextlib.suppress(OSError):
            self._hush.remove()
        for task in self._tasks:
            task.cancel()

    def metrics(self) -> Metrics:
        decision = self._decision
        fit = decision.fit if decision else ()
        found = {
            f'gateway_fit{{gateway="{name}"}}': float(number in fit) for name, number in self._numbers.items()
        }
        if self._follower:
            found["cloud_routes_moved_total"] = self._follower.moved
            found["cloud_routes_failures_total"] = self._follower.failures
        return found | {
            "tailscaled_up": float(self._tailscale.up),
            "well": float(decision.well if decision else 0),
            "far": float(decision.far if decision else 0),
            "drain": float(self._drain),
            "claims": float(len(decision.claims) if decision else 0),
            "ladder_exhausted": float(self._core.claims.exhausted if self._core else 0),
            "advertisements_total": self._tailscale.patches,
            "tailscaled_failures_total": self._tailscale.failures,
            "subscribers": float(self._heartbeats.subscribers),
            "refused_messages_total": self._heartbeats.refused,
            "rp_filter_repairs_total": self._filter.repairs,
            "late_seconds_total": self._late,
        }


def _shown(rungs: Mapping[tuple[int, ...], int]) -> dict[str, int]:
    return {" ".join(map(str, order)): rung for order, rung in rungs.items()}
