"""Keeps the VPC's routes to other regions on a gateway that carries traffic.

It is a help for machines that are not nodes, which have no other way, and fails static: as long as this gateway does
not forward itself, and whenever Amazon does not answer as expected, the routes stay as they are.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Sequence

from agent.aws.ec2 import Ec2, Ec2Error
from agent.aws.imds import Imds
from agent.config import AgentConfig, CloudRoutes
from agent.core.cloud_routes import Route, RouteWatch, View
from agent.log import log

LOOP_SECONDS = 0.2
# How often a gateway that drains looks whether its partner has taken the routes.
COUNT_SECONDS = 1.0
# Pauses after failures, seconds; without the right to it there is nothing to hope for soon.
SHORTEST_BACKOFF, LONGEST_BACKOFF, DENIED_BACKOFF = 1.0, 60.0, 300.0


class RouteFollower:
    """`see` is to be called with every decision; everything else happens in a task and its thread."""

    def __init__(
        self,
        addresses: Sequence[str],
        watch: RouteWatch,
        tables: Sequence[str],
        tag: tuple[str, str],
        now: Callable[[], float],
        imds: Imds | None = None,
        ec2: Ec2 | None = None,
    ) -> None:
        self._addresses, self._watch = addresses, watch
        self._tables, self._tag = tables, tag
        self._now = now
        self._imds = imds or Imds()
        self._ec2 = ec2 or Ec2(self._imds)
        self._ended = threading.Event()
        self._quiet_until = float("-inf")
        self._failed_in_a_row = 0
        self._drains, self._counted = False, float("-inf")
        # While it drains: how many routes still lead here; None while that is not known.
        self._held: int | None = None
        self._told = True
        self.moved = self.failures = 0

    def see(self, view: View, *, drain: bool = False) -> None:
        self._watch.see(view, self._now())
        if drain != self._drains:
            self._drains, self._held, self._told, self._counted = drain, None, True, float("-inf")

    def waits(self) -> str | None:
        """Why a gateway that drains must not stop yet; nothing where Amazon does not tell."""
        if not self._drains or not self._told or self._held == 0:
            return None
        if self._held is None:
            if self._now() < self._quiet_until:
                return None
            return "waits to hear whether routes of the VPC lead here"
        return f"waits for partners to take {self._held} routes of the VPC"

    async def run(self) -> None:
        try:
            while True:
                if self._now() >= self._quiet_until:
                    if self._watch.due(self._now()):
                        await asyncio.to_thread(self.look)
                    elif self._drains and self._held != 0 and self._now() - self._counted >= COUNT_SECONDS:
                        await asyncio.to_thread(self.count)
                await asyncio.sleep(LOOP_SECONDS)
        finally:
            self._ended.set()

    def look(self) -> None:
        """Look at the tables and take what leads to nobody. Never raises, or the task would end unnoticed."""
        self._watch.looked(self._now())
        try:
            self._take()
        except Exception as error:
            self._pause(error)
        else:
            self._failed_in_a_row = 0

    def count(self) -> None:
        """How many routes to other regions lead to this gateway. Never raises."""
        self._counted = self._now()
        try:
            place = self._imds.place()
            routes = self._ec2.routes(place.vpc, self._tables, self._tag)
            held = sum(route.interface == place.interface and self._watch.ours(route) for route in routes)
        except Exception as error:
            self._told = False
            self._pause(error)
        else:
            self._held, self._told, self._failed_in_a_row = held, True, 0

    def _take(self) -> None:
        place = self._imds.place()
        routes = self._ec2.routes(place.vpc, self._tables, self._tag)
        known = self._ec2.interfaces(place.vpc, self._addresses)
        numbers = {known[address]: n for n, address in enumerate(self._addresses) if address in known}
        mine = self._watch.view.me if self._watch.view else -1
        if numbers.get(place.interface) != mine:
            raise Ec2Error(
                "denied", f"interface {place.interface} is not that of gateway {mine} ({sorted(numbers)} are)"
            )
        wanted = self._watch.to_take(routes, numbers, self._now())
        for route in wanted:
            view = self._watch.view
            if self._ended.is_set() or view is None or not view.responsible:
                return  # since then it is somebody else's business
            self._replace(route, place.interface)

    def _replace(self, route: Route, interface: str) -> None:
        try:
            self._ec2.replace(route, interface)
        except Ec2Error as error:
            if error.kind != "gone":
                raise
            # The stack took the route away in this moment.
            log("route is gone", table=route.table, destination=route.destination)
            return
        self.moved += 1
        self._watch.took(route, self._now())
        log("route taken", table=route.table, destination=route.destination, led_to=route.interface)

    def _pause(self, error: Exception) -> None:
        self.failures += 1
        self._failed_in_a_row += 1
        self._watch.failed()
        pause = min(LONGEST_BACKOFF, SHORTEST_BACKOFF * 2.0 ** (self._failed_in_a_row - 1))
        if isinstance(error, Ec2Error) and error.kind == "denied":
            pause = DENIED_BACKOFF
        # Not all gateways of all regions at the same moment.
        pause *= random.uniform(0.75, 1.25)
        self._quiet_until = self._now() + pause
        log("routes not looked after", error=f"{type(error).__name__}: {error}", pause=round(pause, 1))


def follower_of(config: AgentConfig, routes: CloudRoutes, now: Callable[[], float]) -> RouteFollower:
    """The one of a gateway."""
    addresses = [str(gateway.address) for gateway in config.gateways]
    watch = RouteWatch(len(addresses), config.supernets)
    return RouteFollower(addresses, watch, routes.tables, routes.tag, now)
