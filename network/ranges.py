"""Address ranges that no stack may use, and the search for a free one to put into an error message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True)
class Reserved:
    """A range and who uses it. `routed`: a supernet may contain it, a region's own ranges may not."""

    cidr: IPv4Network
    owner: str
    routed: bool = False


# Most specific first: the message names the sharpest reason.
RESERVED = (
    Reserved(
        IPv4Network("100.100.100.0/24"), "Tailscale's own services (MagicDNS answers at 100.100.100.100)"
    ),
    Reserved(IPv4Network("100.100.0.0/24"), "Tailscale's own services, on every tailnet"),
    Reserved(IPv4Network("100.115.92.0/23"), "Tailscale on ChromeOS, on every tailnet"),
    Reserved(
        IPv4Network("100.64.0.0/10"),
        "the tailnet's device addresses (CGNAT; tailscaled drops other users of it)",
    ),
    Reserved(IPv4Network("198.51.100.0/24"), "documentation, and the lab's public segment"),
    Reserved(IPv4Network("172.17.0.0/16"), "Docker's default bridge, present on many machines", routed=True),
    Reserved(IPv4Network("169.254.0.0/16"), "link-local addresses (cloud metadata lives there)"),
    Reserved(IPv4Network("127.0.0.0/8"), "loopback"),
    Reserved(IPv4Network("224.0.0.0/4"), "multicast"),
    Reserved(IPv4Network("0.0.0.0/8"), "addresses that no host may have"),
    Reserved(IPv4Network("240.0.0.0/4"), "future use; Linux does not route it"),
)


def reserved_overlap(cidr: IPv4Network, *, supernet: bool = False) -> Reserved | None:
    """The sharpest reason against a range: an owner that contains it before one that it merely touches."""
    mine = [reserved for reserved in RESERVED if not (supernet and reserved.routed)]
    touched = [reserved for reserved in mine if cidr.overlaps(reserved.cidr)]
    inside = [reserved for reserved in touched if cidr.subnet_of(reserved.cidr)]
    return next(iter(inside or touched), None)


def free_block(within: IPv4Network, prefix: int, taken: Iterable[IPv4Network]) -> IPv4Network | None:
    """The first range of a length inside another one that touches nothing taken or reserved."""
    if prefix < within.prefixlen:
        return None
    obstacles = [*taken, *(reserved.cidr for reserved in RESERVED)]
    size = 1 << (32 - prefix)
    start, end = int(within.network_address), int(within.broadcast_address)
    while start + size - 1 <= end:
        candidate = IPv4Network((start, prefix))
        hit = next((obstacle for obstacle in obstacles if candidate.overlaps(obstacle)), None)
        if hit is None:
            return candidate
        # Jump behind the obstacle, to the next border of this size.
        start = -(-(int(hit.broadcast_address) + 1) // size) * size
    return None


def address_span(cidr: IPv4Network, first_host: int) -> str:
    """The node addresses of a range in words."""
    last = IPv4Address(int(cidr.broadcast_address) - 1)
    return f"{IPv4Address(int(cidr.network_address) + first_host)} to {last}"
