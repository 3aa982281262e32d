"""A region in miniature for the agent's decisions: gateways, one node, a far region, a control server.

The decisions are the real ones (agent/core); what they are told follows from who is alive and which paths are cut.
Each step is one beat. Nothing here waits or opens a socket.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from agent.config import Timing
from agent.core.claims import Claims, Order
from agent.core.fitness import Own, Partner
from agent.core.gateway import Decision, GatewayCore
from agent.core.node import Heard, NodeCore
from agent.ladder import orders
from agent.wire import Beat

# The bounds of these tests are for this hold; the default is longer.
TIMING = Timing(hold=2.0, longest_hold=8.0)
STEP = TIMING.beat
# How long the control server takes to tell everybody of a change.
PUSH = 0.24
NODE = "10.0.0.40"
FAR = "far"


@dataclass
class Machine:
    """A gateway machine and what may be wrong with it; `tailscaled` keeps what it advertises over a crash."""

    number: int
    power: bool = True
    agent: bool = True
    tailscaled: bool = True
    forwards: bool = True
    lan: bool = True
    tail: bool = True
    drain: bool = False
    core: GatewayCore | None = None
    decision: Decision | None = None
    beat: Beat | None = None
    advertised: dict[Order, set[int]] = field(default_factory=dict)
    view: list[dict[Order, int]] = field(default_factory=list)
    heard_lan: dict[int, Heard] = field(default_factory=dict)
    heard_tail: dict[int, Heard] = field(default_factory=dict)
    via: dict[int, float] = field(default_factory=dict)
    direct: dict[str, float] = field(default_factory=dict)
    members: dict[str, float] = field(default_factory=dict)
    witness: dict[int, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"gw-{self.number}"

    @property
    def address(self) -> str:
        return f"10.0.0.{20 + self.number}"

    @property
    def carries(self) -> bool:
        """Would traffic pass?"""
        return self.power and self.tailscaled and self.forwards and self.lan and self.tail

    @property
    def speaks(self) -> bool:
        return self.power and self.agent


class World:
    """Everything at one moment; `step` moves on by one beat."""

    def __init__(self, gateways: int, loss: float = 0.0, seed: int = 0) -> None:
        self.now = 1000.0
        self.loss, self.random = loss, Random(seed)
        self.orders = orders(gateways)
        self.machines = [Machine(number) for number in range(gateways)]
        self.names = [machine.name for machine in self.machines]
        # Pairs that cannot hear each other, over any path.
        self.cut: set[frozenset[int]] = set()
        self.control = self.far = True
        self.node_heard: list[Heard] = [Heard() for _ in self.machines]
        self.node_alive = True
        self.node = NodeCore(self.names, TIMING, self.now)
        # What the control server has made known, and when each device said something new.
        self.tailnet: list[dict[Order, set[int]]] = [{} for _ in self.machines]
        self._news: list[tuple[float, int, dict[Order, set[int]]]] = []
        self.equal_since: dict[tuple[Order, int], float] = {}
        self.longest_equal = 0.0
        for machine in self.machines:
            machine.advertised = self.home(machine.number)
            machine.view = [{} for _ in self.machines]
            self.tailnet[machine.number] = dict(machine.advertised)

    def home(self, number: int) -> dict[Order, set[int]]:
        return {order: {0} for order in self.orders if order[0] == number}

    # Paths.

    def _arrives(self) -> bool:
        return self.random.random() >= self.loss

    def _lan(self, one: Machine, other: Machine) -> bool:
        together = frozenset((one.number, other.number)) not in self.cut
        return one.power and other.power and one.lan and other.lan and together

    def _tunnel(self, one: Machine) -> bool:
        return one.power and one.tailscaled and one.tail

    def _tail(self, one: Machine, other: Machine) -> bool:
        together = frozenset((one.number, other.number)) not in self.cut
        return self._tunnel(one) and self._tunnel(other) and together

    # Time.

    def step(self) -> None:
        self.now += STEP
        self._beats()
        self._probes()
        for machine in self.machines:
            if machine.speaks:
                self._decide(machine)
        self._control_server()
        if self.node_alive:
            self.node.choose(self.node_heard, self.now)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            self.step()

    def _beats(self) -> None:
        for sender in self.machines:
            if not sender.speaks or sender.beat is None:
                continue
            said = Heard(self.now, sender.beat)
            for other in self.machines:
                if other is sender or not other.power:
                    continue
                if self._lan(sender, other) and self._arrives():
                    other.heard_lan[sender.number] = said
                    other.members[sender.address] = self.now
                if self._tail(sender, other) and self._arrives():
                    other.heard_tail[sender.number] = said
            if sender.lan and self.node_alive and self._arrives():
                self.node_heard[sender.number] = said
                # The node's hello and its answers to questions come back the same way.
                sender.members[NODE] = self.now

    def _probes(self) -> None:
        for machine in self.machines:
            if not machine.speaks or not self.far:
                continue
            if self._tunnel(machine) and self._arrives():
                machine.direct[FAR] = self.now
            for other in self.machines:
                way = other is not machine and self._lan(machine, other) and other.carries
                if way and self._arrives() and self._arrives():
                    machine.via[other.number] = self.now

    def _decide(self, machine: Machine) -> None:
        if machine.core is None:
            self._start(machine)
        core = machine.core
        assert core is not None
        partners = {
            other.name: Partner(
                lan=machine.heard_lan.get(other.number, Heard()),
                tail=machine.heard_tail.get(other.number, Heard()),
                via={FAR: machine.via.get(other.number, core.started)},
                reached={FAR: machine.via.get(other.number, 0.0)},
                witness=machine.witness.get(other.number),
            )
            for other in self.machines
            if other is not machine
        }
        own = Own(
            up=machine.tailscaled,
            carrier=machine.lan,
            drain=machine.drain,
            direct=dict(machine.direct),
            members=dict(machine.members),
        )
        view = machine.view if machine.tailscaled else None
        decision = machine.decision = core.decide(partners, own, view, self.now)
        if machine.lan and self.node_alive:
            for name in decision.ask:
                number = self.names.index(name)
                at = self.node_heard[number].at
                machine.members[NODE] = self.now
                if at is not None:
                    machine.witness[number] = max(at, machine.witness.get(number, at))
        machine.beat = Beat(
            sender=machine.name,
            boot="",
            beat=0,
            up=machine.tailscaled,
            lan=decision.lan,
            far=decision.far,
            well=decision.well,
            drain=machine.drain,
            unfit=decision.unfit,
            trusted=tuple(core.names[number] for number in decision.fit),
        )
        if machine.tailscaled:
            wanted = self.home(machine.number)
            for order, rung in decision.claims.items():
                wanted.setdefault(order, set()).add(rung)
            if wanted != machine.advertised:
                machine.advertised = wanted

    def _start(self, machine: Machine) -> None:
        claims = {order: max(rungs) for order, rungs in machine.advertised.items() if max(rungs) > 0}
        addresses = {one.name: one.address for one in self.machines}
        machine.core = GatewayCore(
            self.names,
            addresses,
            machine.number,
            TIMING,
            self.now,
            Claims(machine.number, self.orders, claims),
        )
        machine.heard_lan, machine.heard_tail, machine.via, machine.direct = {}, {}, {}, {}
        machine.members, machine.witness = {}, {}

    # The tailnet: a device that is connected is heard and told, both after a while; the dead ones' prefixes stay.

    def _control_server(self) -> None:
        for machine in self.machines:
            if self.control and self._tunnel(machine):
                pending = [news for _, number, news in self._news if number == machine.number]
                known = pending[-1] if pending else self.tailnet[machine.number]
                if known != machine.advertised:
                    copy = {order: set(rungs) for order, rungs in machine.advertised.items()}
                    self._news.append((self.now + PUSH, machine.number, copy))
        if self.control:
            for due, number, news in list(self._news):
                if due <= self.now:
                    self.tailnet[number] = news
                    self._news.remove((due, number, news))
        for machine in self.machines:
            if self.control and self._tunnel(machine):
                machine.view = [
                    {order: max(rungs) for order, rungs in known.items()} for known in self.tailnet
                ]
        self._watch_equals()

    def forget(self, number: int) -> None:
        """The control server notices that a device is gone, and its prefixes leave the tailnet."""
        self.tailnet[number] = {}

    def _watch_equals(self) -> None:
        owned: dict[tuple[Order, int], int] = {}
        for known in self.tailnet:
            for order, rungs in known.items():
                for rung in rungs:
                    owned[order, rung] = owned.get((order, rung), 0) + 1
        equal = {place for place, owners in owned.items() if owners > 1}
        self.equal_since = {place: self.equal_since.get(place, self.now) for place in equal}
        for since in self.equal_since.values():
            self.longest_equal = max(self.longest_equal, self.now - since)

    def receiver(self, order: Order) -> Machine:
        """Whom the other regions send to: the owner of the longest prefix."""
        deepest = [max(known.get(order, {-1})) for known in self.tailnet]
        return self.machines[deepest.index(max(deepest))]
