"""Which routes of the cloud a gateway takes over, and when it looks at them. A cloud's route leads to one interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from agent.core.gateway import Decision

# A partner has to be unfit for so long, seconds: nodes leave it at once, but a route that is moved is a call of an API
# that counts them.
LASTING_SECONDS = 1.0
# How often to look while a gateway is unfit and while all are well, seconds.
BUSY_SECONDS, CALM_SECONDS = 10.0, 60.0
# A route that somebody took back is not fought for: the pause before the next try doubles, seconds.
SHORTEST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
# After so long a quarrel is forgotten, seconds.
FORGET_SECONDS = 900.0


@dataclass(frozen=True)
class Route:
    """A route of a table. `interface`: where it leads, None if that is no machine; `blackhole`: nobody is there."""

    table: str
    destination: str
    interface: str | None
    blackhole: bool = False


@dataclass(frozen=True)
class View:
    """What a gateway knows of itself and its partners, by number. `proven`: it forwards, as far as can be told."""

    me: int
    fit: frozenset[int]
    proven: bool

    @property
    def responsible(self) -> bool:
        """Only the lowest fit one acts, and only while it forwards itself: else everything stays as it is."""
        return self.proven and bool(self.fit) and self.me == min(self.fit)


def view_of(decision: Decision, me: int, *, drain: bool) -> View:
    """Forwarding is proven by an answer from another region, and by the trust of every partner that lives."""
    return View(me, frozenset(decision.fit), decision.well and decision.far and not drain)


@dataclass
class _Quarrel:
    at: float
    times: int = 1

    @property
    def pause(self) -> float:
        return min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** (self.times - 1))


@dataclass
class RouteWatch:
    """One gateway's memory. `gateways`: how many the region has."""

    gateways: int
    supernets: Sequence[IPv4Network]
    _view: View | None = None
    _since: float = 0.0
    _looked: float = float("-inf")
    _news: bool = True
    _taken: dict[tuple[str, str], _Quarrel] = field(default_factory=dict)

    def see(self, view: View, now: float) -> None:
        if view != self._view:
            self._view, self._since, self._news = view, now, True

    @property
    def view(self) -> View | None:
        return self._view

    def due(self, now: float) -> bool:
        """Is it time to look at the tables?"""
        view = self._view
        if view is None or not view.responsible or now - self._since < LASTING_SECONDS:
            return False
        every = CALM_SECONDS if len(view.fit) == self.gateways else BUSY_SECONDS
        return self._news or now - self._looked >= every

    def looked(self, now: float) -> None:
        self._looked, self._news = now, False

    def failed(self) -> None:
        """What was seen or tried did not come to its end: it is still to be done."""
        self._news = True

    def to_take(self, routes: Sequence[Route], interfaces: Mapping[str, int], now: float) -> list[Route]:
        """
        Routes to other regions that lead to a gateway which is not fit, or to nobody. What leads elsewhere was led
        there by somebody who had a reason.
        """
        view = self._view
        if view is None or not view.responsible:
            return []
        return [
            route
            for route in routes
            if self.ours(route) and self._astray(route, interfaces, view) and self._patient(route, now)
        ]

    def took(self, route: Route, now: float) -> None:
        key = (route.table, route.destination)
        former = self._taken.get(key)
        again = former is not None and now - former.at < FORGET_SECONDS
        self._taken[key] = _Quarrel(now, former.times + 1 if former and again else 1)

    def ours(self, route: Route) -> bool:
        """Does it lead to a region?"""
        destination = IPv4Network(route.destination)
        return any(destination.subnet_of(supernet) for supernet in self.supernets)

    @staticmethod
    def _astray(route: Route, interfaces: Mapping[str, int], view: View) -> bool:
        if route.interface is None:
            return False
        number = interfaces.get(route.interface)
        if number is None:
            return route.blackhole
        return number != view.me and number not in view.fit

    def _patient(self, route: Route, now: float) -> bool:
        former = self._taken.get((route.table, route.destination))
        return former is None or now - former.at >= former.pause
