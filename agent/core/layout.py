"""From a gateway's claims to the prefixes it advertises, and back from prefixes to claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from agent.config import Block, Ladder, Target
from agent.core.claims import Order
from agent.ladder import (
    MAX_GATEWAYS,
    MOST_NODE_TILES,
    Tile,
    covering,
    deepest_rung,
    node_tile_length,
    tile_at,
    tile_length,
    tiles,
)

# A node that was not heard for so long needs no tile of its own any more, seconds.
FORGET_SECONDS = 3600.0
# Of the /30 in the pods of host 0 the first is nobody's, then each gateway has one; a region's range is a /27 at least.
PROBE_SLOTS = 8


@dataclass(frozen=True)
class Place:
    """Where a prefix belongs: to which tile, and how many bits it is longer."""

    tile: Tile
    rung: int


class Layout:
    """A region's ladder, the same on all of its gateways; only which node tiles exist is learned."""

    def __init__(self, ladder: Ladder, gateways: int, me: int, pods: IPv4Network | None = None) -> None:
        self.me = me
        # All regions' pods. Only there a /30 is a probe address: a take-over's prefix of a node block may be as long.
        self._pods = pods
        self._blocks, self._gateways = ladder.blocks, gateways
        self._deepest = deepest_rung(gateways)
        self._lengths: dict[IPv4Network, list[int]] = {}
        self._tiles: dict[Order, set[Tile]] = {}
        self._located: dict[str, Place | None] = {}
        self._node_tiles: dict[Tile, float] = {}
        # What follows from the tiles, until they change.
        self._orders: tuple[Order, ...] = ()
        self._advertised: dict[tuple[tuple[Order, int], ...], frozenset[str]] = {}
        # /30: the four probe addresses of a gateway.
        self.probe_blocks = tuple(
            str(IPv4Network((int(row[0]) & ~3, 30))) for row in ladder.probes[:gateways]
        )
        self._always = {str(prefix) for block in ladder.blocks for prefix in covering(block.prefix, me)}
        self._always.add(self.probe_blocks[me])
        for block in ladder.blocks if gateways > 1 else ():
            self._lengths[block.prefix] = self._lengths_of(block)
            for tile in tiles(block.prefix, gateways, block.own, block.longest, block.node):
                self._tiles.setdefault(tile.order, set()).add(tile)
            for own in block.own if len(self._lengths[block.prefix]) > 1 else ():
                self.populate(str(own), float("inf"), heard=True)

    def _lengths_of(self, block: Block) -> list[int]:
        node = node_tile_length(block.prefix, self._gateways, block.node, block.longest)
        lengths = [tile_length(block.prefix, self._gateways, block.longest, block.node)]
        return lengths if node is None else [node, *lengths]

    @property
    def orders(self) -> tuple[Order, ...]:
        """The orders that some tile has. Where the gateways' own ranges lie close together one may have none."""
        if not self._orders:
            self._orders = tuple(sorted({*self._tiles, *(tile.order for tile in self._node_tiles)}))
        return self._orders

    def populate(self, prefix: str, now: float, *, heard: bool) -> None:
        """There is a node with these pods (`heard` from itself), or somebody advertises a tile for it."""
        place = self._locate(prefix)
        if place is None or place.tile in self._tiles.get(place.tile.order, ()):
            return
        tile = place.tile
        if tile in self._node_tiles:
            self._node_tiles[tile] = max(now, self._node_tiles[tile]) if heard else self._node_tiles[tile]
        elif sum(1 for one in self._node_tiles if one.order[0] == tile.order[0]) < MOST_NODE_TILES:
            self._node_tiles[tile] = now
            self._changed()

    def forget(self, now: float) -> None:
        """Drop the tiles of nodes that are gone."""
        for tile in [tile for tile, heard in self._node_tiles.items() if now - heard > FORGET_SECONDS]:
            del self._node_tiles[tile]
            self._changed()

    def _changed(self) -> None:
        self._advertised.clear()
        self._orders = ()

    def advertised(self, claims: Mapping[Order, int]) -> frozenset[str]:
        """Everything this gateway advertises with these claims."""
        key = tuple(sorted(claims.items()))
        if key not in self._advertised:
            self._advertised[key] = self._prefixes(claims)
        return self._advertised[key]

    def _prefixes(self, claims: Mapping[Order, int]) -> frozenset[str]:
        found = set(self._always)
        for tile in (*(tile for group in self._tiles.values() for tile in group), *self._node_tiles):
            if tile.order[0] == self.me:
                found.add(str(tile.prefix))
            if tile.order in claims:
                found.update(str(prefix) for prefix in tile.rung(claims[tile.order]))
        return frozenset(found)

    def ours(self, prefix: str) -> bool:
        """Does it lie in the region's ranges? Whatever else a device advertises is not the agent's."""
        if not _is_network(prefix):
            return False
        network = IPv4Network(prefix)
        return any(network.subnet_of(block.prefix) for block in self._blocks)

    def elsewhere(self, prefixes: Iterable[str]) -> Iterator[Target]:
        """
        The addresses that gateways of other regions answer probes at, among these prefixes of a device: each owns a
        /30 of its region's pods of host 0 (network/prefixes.py, `probe_address`); where in it it answers is its number.
        """
        for prefix in prefixes:
            if not prefix.endswith("/30") or self.ours(prefix) or not _is_network(prefix):
                continue
            first = IPv4Network(prefix).network_address
            number = (int(first) >> 2) % PROBE_SLOTS - 1
            if 0 <= number < MAX_GATEWAYS and self._pods is not None and first in self._pods:
                region = IPv4Address(int(first) - (number + 1) * MAX_GATEWAYS)
                address = IPv4Address(int(first) + number)
                yield Target(name=str(address), region=str(region), address=address)

    def rungs(self, prefixes: Iterable[str]) -> dict[Order, int]:
        """The deepest rung of each order among these prefixes."""
        found: dict[Order, int] = {}
        for prefix in prefixes:
            place = self._locate(prefix)
            if place is not None:
                found[place.tile.order] = max(place.rung, found.get(place.tile.order, place.rung))
        return found

    def _locate(self, prefix: str) -> Place | None:
        if prefix not in self._located:
            self._located[prefix] = self._place(prefix)
        return self._located[prefix]

    def _place(self, prefix: str) -> Place | None:
        if prefix in self.probe_blocks or not self.ours(prefix):
            return None
        network = IPv4Network(prefix)
        block = next(block for block in self._blocks if network.subnet_of(block.prefix))
        for length in self._lengths.get(block.prefix, ()):
            rung = network.prefixlen - length
            if 0 <= rung <= self._deepest:
                part = network.supernet(new_prefix=length)
                return Place(tile_at(block.prefix, part, self._gateways, block.own), rung)
        return None


def _is_network(prefix: str) -> bool:
    try:
        IPv4Network(prefix)
    except ValueError:
        return False
    return True
