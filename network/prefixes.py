"""Who advertises what: the ladder of a region's blocks, which the plan checks and counts.

Every gateway covers the region by prefixes of a length of its own, shares what comes in by tiles, and takes over by
longer ones. The ladder itself is agent/ladder.py: the route agent runs the same functions on the gateways.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from agent.ladder import (
    LONGEST_PREFIX,
    MAX_GATEWAYS,
    MOST_NODE_TILES,
    covering,
    deepest_rung,
    longest_block,
    node_tile_length,
    tile_length,
)

__all__ = [
    "LONGEST_POD_PREFIX",
    "LONGEST_PREFIX",
    "MAX_GATEWAYS",
    "PrefixCount",
    "has_room",
    "ladder",
    "longest_node_block",
    "longest_pod_block",
    "prefix_count",
    "probe_address",
    "probe_block",
    "probe_room",
]

# Of a pod block the last three bits stay free: the /30 of a gateway's probe addresses must be longer than every rung.
LONGEST_POD_PREFIX = 29
# Below it there is no room for two machines.
LONGEST_NODE_BLOCK = 30
PROBE_ADDRESSES = 4


def ladder(block: IPv4Network, gateways: int) -> tuple[tuple[IPv4Network, ...], ...]:
    """What each gateway always advertises of a block: gateway 0 all of it, gateway 1 halves, gateway 2 quarters."""
    return tuple(covering(block, gateway) for gateway in range(gateways))


def longest_node_block(gateways: int) -> int:
    """The longest prefix a node block may have for so many gateways: covers, tiles and every take-over fit."""
    return min(longest_block(gateways), LONGEST_NODE_BLOCK)


def longest_pod_block(gateways: int) -> int:
    """The same for a pod block, which also holds the gateways' probe addresses."""
    return longest_block(gateways, LONGEST_POD_PREFIX)


def has_room(node_cidr: IPv4Network, pod_cidr: IPv4Network, gateways: int) -> bool:
    """Are a region's blocks large enough for so many gateways?"""
    return node_cidr.prefixlen <= longest_node_block(gateways) and pod_cidr.prefixlen <= longest_pod_block(
        gateways
    )


@dataclass(frozen=True)
class PrefixCount:
    """
    How many prefixes a region has in the tailnet. `usual`: while nothing is wrong. `most`: on every rung of every tile,
    after its gateways failed one after the other and nobody left the tailnet.
    """

    usual: int
    most: int


def prefix_count(
    node_cidr: IPv4Network, pod_cidr: IPv4Network, gateways: int, nodes: int, node: int
) -> PrefixCount:
    """Covers, tiles, a tile for each of `nodes` machines whose pod range is a /`node`, and probe addresses."""
    always = 2 * ((1 << gateways) - 1) + gateways
    if gateways == 1:
        return PrefixCount(always, always)
    tiles = 1 << (tile_length(node_cidr, gateways) - node_cidr.prefixlen)
    tiles += 1 << (tile_length(pod_cidr, gateways, LONGEST_POD_PREFIX, node) - pod_cidr.prefixlen)
    if node_tile_length(pod_cidr, gateways, node, LONGEST_POD_PREFIX) is not None:
        tiles += min(nodes, MOST_NODE_TILES * gateways)
    # A tile, its halves, its quarters and so on.
    rungs = (1 << deepest_rung(gateways) + 1) - 1
    return PrefixCount(always + tiles, always + tiles * rungs)


def probe_block(pod_cidr: IPv4Network, gateway: int) -> IPv4Network:
    """
    Four addresses that one gateway alone advertises: one for itself, one for each partner that probes it. They come
    from the pod range of host 0, which no node has: host 0 of a node CIDR is its network address.
    """
    return IPv4Network((int(pod_cidr.network_address) + (gateway + 1) * PROBE_ADDRESSES, 30))


def probe_address(pod_cidr: IPv4Network, gateway: int, prober: int) -> IPv4Address:
    """The address at which partner `prober` gets back what it sent through `gateway`."""
    return probe_block(pod_cidr, gateway)[prober]


def probe_room(gateways: int) -> int:
    """
    The longest prefix of a node's pod range in which the probe addresses of so many gateways lie: what is left over
    would be host 1's pods.
    """
    return 32 - ((gateways + 1) * PROBE_ADDRESSES - 1).bit_length()
