"""The ladder: which prefixes a gateway owns, so that no two own the same one and a survivor can always go longer.

A region's block has these kinds of prefixes, by length:

- covering prefixes: gateway i advertises the whole block in prefixes of length L+i, always. They make it a legitimate
  sender of every source of its region (WireGuard drops what lies in no prefix of its sender).
- tiles: the block cut into at most 16 equal parts, each with an order of gateways. The first is its home and advertises
  it always: that shares what comes in, and leaves no address to the covering prefixes alone.
- node tiles: of a pod block also the ranges of single nodes, but only of those that exist. Clusters are small and
  fill a range from one end, so 16 parts alone would not share much; a prefix for every possible node would cost the
  control server a second of work at every change (headscale 0.29.2: 0.4 s with 256 tiles, 0.01 s with 16).
- take-overs: the first gateway of a tile's order that can advertises the tile in smaller parts, one rung deeper than
  anything that the dead have advertised, for theirs stay in the tailnet for a while. The longest prefix receives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

MAX_GATEWAYS = 4
LONGEST_PREFIX = 32
TILE_BITS = 4
# So many node tiles each gateway advertises at most; further nodes are shared by the 16 parts.
MOST_NODE_TILES = 32


@dataclass(frozen=True)
class Tile:
    """A part of a block. `order` holds gateways by index: home first, then those that take over, in turn."""

    prefix: IPv4Network
    order: tuple[int, ...]

    def rung(self, cuts: int) -> tuple[IPv4Network, ...]:
        """The tile in prefixes that are `cuts` bits longer."""
        return tuple(self.prefix.subnets(prefixlen_diff=cuts))


def covering(block: IPv4Network, gateway: int) -> tuple[IPv4Network, ...]:
    """What gateway number `gateway` always advertises: the whole block, in a length that is its own."""
    return tuple(block.subnets(prefixlen_diff=gateway))


def deepest_rung(gateways: int) -> int:
    """How often a tile may be cut: once per gateway, so its home can come back after the last of them fell."""
    return gateways


def tile_length(
    block: IPv4Network, gateways: int, longest: int = LONGEST_PREFIX, node: int | None = None
) -> int:
    """
    The prefix length of a block's tiles: `longest` leaves room below them for every rung of a take-over. `node`: the
    length of a node's range; where the block is large enough, the rungs end above it.
    """
    rungs = deepest_rung(gateways)
    length = min(block.prefixlen + max(TILE_BITS, gateways), longest - rungs)
    if node is not None and block.prefixlen + gateways <= node - rungs - 1 and node + rungs <= longest:
        length = min(length, node - rungs - 1)
    if length < block.prefixlen + gateways:
        raise ValueError(
            f"{block} is too small for {gateways} gateways: their tiles would be /{length}, as long as the covering "
            f"prefixes; write a range of at most /{longest_block(gateways, longest)}"
        )
    return length


def node_tile_length(block: IPv4Network, gateways: int, node: int | None, longest: int) -> int | None:
    """The length of node tiles: that of a node's range, if the rungs of both kinds of tiles fit beside each other."""
    if node is None or gateways == 1:
        return None
    above = tile_length(block, gateways, longest, node) + deepest_rung(gateways)
    return node if above < node <= longest - deepest_rung(gateways) else None


def longest_block(gateways: int, longest: int = LONGEST_PREFIX) -> int:
    """The longest prefix that a block for so many gateways may have; one gateway advertises the block alone."""
    if gateways == 1:
        return longest
    return longest - deepest_rung(gateways) - gateways


def tiles(
    block: IPv4Network,
    gateways: int,
    own: Sequence[IPv4Network] = (),
    longest: int = LONGEST_PREFIX,
    node: int | None = None,
) -> tuple[Tile, ...]:
    """A block's tiles in address order. `own` holds what lies on each gateway's own machine."""
    if gateways == 1:
        return ()
    length = tile_length(block, gateways, longest, node)
    return tuple(tile_at(block, prefix, gateways, own) for prefix in block.subnets(new_prefix=length))


def tile_at(block: IPv4Network, prefix: IPv4Network, gateways: int, own: Sequence[IPv4Network] = ()) -> Tile:
    """
    The tile that is this part of a block. What lies on a gateway's own machine is at home there, so gateways that
    cannot reach each other still receive what is theirs. Otherwise neighbours have different homes, and a dead
    gateway's tiles go to the others in equal parts.
    """
    number = (int(prefix.network_address) - int(block.network_address)) >> (32 - prefix.prefixlen)
    home = next((gateway for gateway, mine in enumerate(own) if mine.subnet_of(prefix)), number % gateways)
    return Tile(prefix, _order(home, number // gateways, gateways))


def orders(gateways: int) -> tuple[tuple[int, ...], ...]:
    """Every order that a tile may have."""
    if gateways == 1:
        return ()
    return tuple(
        sorted(_order(home, turn, gateways) for home in range(gateways) for turn in range(gateways - 1))
    )


def _order(home: int, turn: int, gateways: int) -> tuple[int, ...]:
    others = [(home + step) % gateways for step in range(1, gateways)]
    turn %= len(others)
    return (home, *others[turn:], *others[:turn])


@dataclass(frozen=True)
class Claim:
    """Who receives a tile, and by which rung: 0 is the tile itself, each further one a cut deeper."""

    gateway: int
    rung: int


def claim(
    order: Sequence[int], fit: Iterable[int], lost: Mapping[int, int], acting: Iterable[int] | None = None
) -> Claim | None:
    """
    Who shall receive a tile. `fit`: the gateways that carry traffic. `lost`: the deepest rung that each of the others
    still has in the tailnet, if any. The home receives its tile unless one of those beats it; else the first fit one
    of the order, one rung deeper than all of those. `acting`: the gateways whose agents live, for the others can
    keep what they have but take nothing; all of them if not given.

    None if nobody is fit, or if the lost ones stand on the last rung. That takes as many deaths of a tile's receiver
    as there are gateways and one more, none of which came back or left the tailnet in between; then the tile waits
    for the control server to notice.
    """
    able = set(fit)
    floor = max((rung for gateway, rung in lost.items() if gateway not in able), default=-1)
    # Rung 0 is the home's alone: it advertises its tiles always, and back it comes with them.
    if order[0] in able and floor < 0:
        return Claim(order[0], 0)
    takers = able if acting is None else able.intersection(acting)
    receiver = next((gateway for gateway in order if gateway in takers), None)
    rung = max(floor + 1, 1)
    return Claim(receiver, rung) if receiver is not None and rung <= deepest_rung(len(order)) else None
