"""What the route agent needs of a region's blocks beyond the covering prefixes of network/prefixes.py: room for tiles
and take-overs (agent/ladder.py), and addresses to probe gateways at. Nothing of it is deployed yet.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from agent import ladder as rungs

# The longest prefix that anybody advertises of a node block. Of a pod block the last three bits stay free: the /30 of
# each gateway's probe addresses must be longer than every rung.
LONGEST_PREFIX = rungs.LONGEST_PREFIX
LONGEST_POD_PREFIX = 29
# Below it there is no room for two machines.
LONGEST_NODE_BLOCK = 30


def longest_tiled_block(gateways: int) -> int:
    """The longest prefix a node block may have for so many gateways: covers, tiles and every take-over fit."""
    return min(rungs.longest_block(gateways), LONGEST_NODE_BLOCK)


def longest_pod_block(gateways: int) -> int:
    """The same for a pod block, which also holds the gateways' probe addresses."""
    if gateways == 1:
        return LONGEST_POD_PREFIX
    return rungs.longest_block(gateways, LONGEST_POD_PREFIX)


def tiled_prefix_count(block: IPv4Network, gateways: int) -> int:
    """
    The most prefixes of a block that can be in the tailnet at once: all gateways, and every rung of every tile. Node
    tiles come on top, as many as there are nodes with pods (`node_prefix_count`).
    """
    if gateways == 1:
        return 1
    tiles = 1 << (rungs.tile_length(block, gateways) - block.prefixlen)
    return (1 << gateways) - 1 + tiles * _rungs(gateways)


def node_prefix_count(nodes: int, gateways: int) -> int:
    """The most prefixes that so many nodes add to a pod block of several gateways."""
    if gateways == 1:
        return 0
    return min(nodes, rungs.MOST_NODE_TILES * gateways) * _rungs(gateways)


def _rungs(gateways: int) -> int:
    return (1 << rungs.deepest_rung(gateways) + 1) - 1


def probe_block(pod_cidr: IPv4Network, gateway: int) -> IPv4Network:
    """
    Four addresses that one gateway alone advertises: one for itself, one for each partner that probes it. They come
    from the pod range of host 0, which no node has: host 0 of a node CIDR is its network address.
    """
    return IPv4Network((int(pod_cidr.network_address) + (gateway + 1) * rungs.MAX_GATEWAYS, 30))


def probe_address(pod_cidr: IPv4Network, gateway: int, prober: int) -> IPv4Address:
    """The address at which partner `prober` gets back what it sent through `gateway`."""
    return probe_block(pod_cidr, gateway)[prober]
