"""Who advertises what: every gateway of a region covers the same block by prefixes of a length of its own.

The control server makes one gateway the owner ("primary") of a prefix, and WireGuard drops packets whose
source lies in no prefix of the sender. Equal prefixes would leave all gateways but one unable to send;
distinct covering ones make each of them a legitimate sender. The longest prefix wins, so the last gateway
of a ladder receives.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from agent.ladder import MAX_GATEWAYS, covering

__all__ = ["LONGEST_PREFIX", "MAX_GATEWAYS", "ladder", "longest_ladder_block", "prefix_count"]

LONGEST_PREFIX = 30


def ladder(block: IPv4Network, gateways: int) -> tuple[tuple[IPv4Network, ...], ...]:
    """What each gateway advertises of a block: gateway 0 all of it, gateway 1 halves, gateway 2 quarters."""
    return tuple(covering(block, gateway) for gateway in range(gateways))


def longest_ladder_block(gateways: int) -> int:
    """The longest prefix a block may have for so many gateways.

    A survivor takes over by one rung more than the last gateway stands on, so that rung must exist, too.
    """
    spare = 1 if gateways > 1 else 0
    return LONGEST_PREFIX - (gateways - 1) - spare


def prefix_count(gateways: int) -> int:
    """The most prefixes of a block: all rungs of its gateways, and the one that a survivor takes over with."""
    return 1 if gateways == 1 else (1 << gateways + 1) - 1
