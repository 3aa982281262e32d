"""Who advertises what: every gateway of a region covers the same block by prefixes of a length of its own.

The control server makes one gateway the owner ("primary") of a prefix, and WireGuard drops packets whose
source lies in no prefix of the sender. Equal prefixes would leave all gateways but one unable to send;
distinct covering ones make each of them a legitimate sender. The longest prefix wins, so the last gateway
of a ladder receives.
"""

from __future__ import annotations

from ipaddress import IPv4Network

LONGEST_PREFIX = 30
MAX_GATEWAYS = 4


def ladder(block: IPv4Network, gateways: int) -> tuple[tuple[IPv4Network, ...], ...]:
    """What each gateway advertises of a block: gateway 0 all of it, gateway 1 halves, gateway 2 quarters."""
    return tuple(tuple(block.subnets(prefixlen_diff=rung)) for rung in range(gateways))


def longest_ladder_block(gateways: int) -> int:
    """The longest prefix a block may have for so many gateways.

    A survivor takes over by one rung more than the last gateway stands on, so that rung must exist, too.
    """
    spare = 1 if gateways > 1 else 0
    return LONGEST_PREFIX - (gateways - 1) - spare
