"""Take-over and give-back: which tiles this gateway advertises deeper than its own, from moment to moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.ladder import Claim, claim

Order = tuple[int, ...]
# By order of gateways: the deepest rung of its tiles.
Rungs = Mapping[Order, int]
# After the control server has told this gateway of a change, the others hear of it within this time, seconds.
SETTLE_SECONDS = 1.0


@dataclass
class Claims:
    """
    `orders`: those that some tile has now; one without tiles could never be seen to go to somebody else.
    `mine`: the rungs that this gateway advertises beyond its home tiles. A take-over is advertised at once; a claim is
    dropped only after the other's prefixes have been in the tailnet for a while: make before break.
    """

    me: int
    orders: Sequence[Order]
    mine: dict[Order, int] = field(default_factory=dict)
    exhausted: bool = False
    _seen: dict[Order, float] = field(default_factory=dict)

    def settle(self, fit: Iterable[int], acting: Iterable[int], tailnet: Sequence[Rungs], now: float) -> None:
        """
        Bring `mine` up to date. `fit` carry traffic, `acting` have a living agent. `tailnet`: the rungs of each
        gateway, by number, that the control server has made known. With nobody fit nothing changes: the last one
        never withdraws.
        """
        able = frozenset(fit)
        self.exhausted = False
        if not able:
            return
        for order in self.orders:
            lost = {
                gateway: rungs[order]
                for gateway, rungs in enumerate(tailnet)
                if gateway not in able and order in rungs
            }
            wanted = claim(order, able, lost, acting)
            if wanted is None:
                self.exhausted = True
            elif wanted.gateway == self.me:
                self._seen.pop(order, None)
                self._take(order, wanted, tailnet)
            elif order in self.mine:
                self._give(order, wanted, tailnet, now)

    def _take(self, order: Order, wanted: Claim, tailnet: Sequence[Rungs]) -> None:
        if wanted.rung == 0:
            self.mine.pop(order, None)
            return
        # Whoever else owns this very rung is alive and carries the tile, but we do not agree on whose it is, because we
        # cannot hear each other. The one that comes first in the order keeps it.
        rivals = [
            gateway
            for gateway, rungs in enumerate(tailnet)
            if gateway != self.me and rungs.get(order) == wanted.rung
        ]
        if not rivals:
            self.mine[order] = wanted.rung
        elif any(order.index(rival) < order.index(self.me) for rival in rivals):
            self.mine.pop(order, None)

    def _give(self, order: Order, wanted: Claim, tailnet: Sequence[Rungs], now: float) -> None:
        theirs = tailnet[wanted.gateway].get(order, -1)
        if theirs == self.mine[order]:
            # The same prefixes: the control server passes them on in the moment that this one drops them.
            del self.mine[order]
            self._seen.pop(order, None)
        elif theirs < wanted.rung:
            self._seen.pop(order, None)
        elif now - self._seen.setdefault(order, now) >= SETTLE_SECONDS:
            del self.mine[order], self._seen[order]

    def relieved(self, tailnet: Sequence[Rungs]) -> bool:
        """Does every tile go to somebody else? Then this gateway may stop."""
        for order in self.orders:
            own = self.mine.get(order, 0 if order[0] == self.me else -1)
            if not any(
                rungs.get(order, -1) > own for gateway, rungs in enumerate(tailnet) if gateway != self.me
            ):
                return False
        return True
