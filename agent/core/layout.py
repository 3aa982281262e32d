"""From a gateway's claims to the prefixes it advertises, and back from prefixes to claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network

from agent.config import Ladder
from agent.core.claims import Order
from agent.ladder import Tile, covering, deepest_rung, tile_length, tiles


class Layout:
    """The fixed part of a region's ladder, the same on all of its gateways."""

    def __init__(self, ladder: Ladder, gateways: int, me: int) -> None:
        self.me = me
        self._blocks = [block.prefix for block in ladder.blocks]
        self._tiles: dict[Order, list[Tile]] = {}
        # By tile: where it belongs. Only its network address and length are looked at, so this stays small.
        self._places: dict[IPv4Network, Order] = {}
        self._lengths: dict[IPv4Network, int] = {}
        self._located: dict[str, tuple[Order, int] | None] = {}
        self._deepest = deepest_rung(gateways)
        for block in ladder.blocks:
            if gateways > 1:
                self._lengths[block.prefix] = tile_length(block.prefix, gateways, block.longest)
            for tile in tiles(block.prefix, gateways, block.own, block.longest):
                self._tiles.setdefault(tile.order, []).append(tile)
                self._places[tile.prefix] = tile.order
        # /30: the four probe addresses of a gateway.
        self.probe_blocks = tuple(
            str(IPv4Network((int(row[0]) & ~3, 30))) for row in ladder.probes[:gateways]
        )
        self._always = self._permanent()

    @property
    def orders(self) -> tuple[Order, ...]:
        return tuple(sorted(self._tiles))

    def _permanent(self) -> frozenset[str]:
        mine = {str(prefix) for block in self._blocks for prefix in covering(block, self.me)}
        mine |= {
            str(tile.prefix) for order, found in self._tiles.items() if order[0] == self.me for tile in found
        }
        return frozenset(mine | {self.probe_blocks[self.me]})

    def advertised(self, claims: Mapping[Order, int]) -> frozenset[str]:
        """Everything this gateway advertises with these claims."""
        deeper = {
            str(prefix)
            for order, rung in claims.items()
            for tile in self._tiles[order]
            for prefix in tile.rung(rung)
        }
        return self._always | deeper

    def ours(self, prefix: str) -> bool:
        """Does it lie in the region's ranges? Whatever else a device advertises is not the agent's."""
        try:
            network = IPv4Network(prefix)
        except ValueError:
            return False
        return any(network.subnet_of(block) for block in self._blocks)

    def rungs(self, prefixes: Iterable[str]) -> dict[Order, int]:
        """The deepest rung of each order among these prefixes."""
        found: dict[Order, int] = {}
        for prefix in prefixes:
            place = self._locate(prefix)
            if place is not None:
                order, rung = place
                found[order] = max(rung, found.get(order, rung))
        return found

    def _locate(self, prefix: str) -> tuple[Order, int] | None:
        if prefix not in self._located:
            self._located[prefix] = self._place(prefix)
        return self._located[prefix]

    def _place(self, prefix: str) -> tuple[Order, int] | None:
        if prefix in self.probe_blocks or not self.ours(prefix):
            return None
        network = IPv4Network(prefix)
        length = next(
            (length for block, length in self._lengths.items() if network.subnet_of(block)),
            network.prefixlen + 1,
        )
        rung = network.prefixlen - length
        if not 0 <= rung <= self._deepest:
            return None
        return self._places[network.supernet(new_prefix=length)], rung
