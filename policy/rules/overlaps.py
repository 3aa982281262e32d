"""Ranges against each other: which overlap, what is free, what belongs to somebody on every machine."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from .ranges import Range


@dataclass(frozen=True)
class Reserved:
    """A range that no network may use, and who uses it. `inside`: larger networks may contain it."""

    cidr: IPv4Network
    owner: str
    inside: bool = False


# Sharpest reason first. Tailscale's: tailscale.com/kb/1304 and kb/1015, tailscale issues 12828 and 3104.
RESERVED = (
    Reserved(IPv4Network("100.100.100.0/24"), "Tailscale's services (MagicDNS answers at 100.100.100.100)"),
    Reserved(IPv4Network("100.100.0.0/24"), "Tailscale's services, on every tailnet"),
    Reserved(IPv4Network("100.115.92.0/23"), "Tailscale on ChromeOS, on every tailnet"),
    Reserved(
        IPv4Network("100.64.0.0/10"),
        "the tailnet's device addresses: tailscaled drops packets from it that come from anywhere else, so a VPC, "
        "GKE or EKS range there is cut off on every gateway",
    ),
    Reserved(IPv4Network("169.254.0.0/16"), "link-local addresses, among them the clouds' metadata servers"),
    Reserved(IPv4Network("172.17.0.0/16"), "Docker's default bridge, on many machines", inside=True),
    Reserved(IPv4Network("127.0.0.0/8"), "loopback"),
    Reserved(IPv4Network("0.0.0.0/8"), "addresses that no host may have (RFC 1122)"),
    Reserved(IPv4Network("224.0.0.0/4"), "multicast"),
    Reserved(IPv4Network("240.0.0.0/4"), "future use; Linux does not route it"),
)


def overlaps(ranges: Sequence[Range]) -> Iterator[tuple[Range, Range]]:
    """
    Every overlapping pair, the one that was declared first in front. CIDRs are nested or apart: those that contain the
    current one are a stack of ranges, so this is a sort and one pass.
    """
    order = {id(item): index for index, item in enumerate(ranges)}
    around: list[Range] = []
    for item in sorted(ranges, key=lambda item: (item.cidr.network_address, item.cidr.prefixlen)):
        while around and around[-1].cidr.broadcast_address < item.cidr.network_address:
            around.pop()
        for outer in around:
            yield (outer, item) if order[id(outer)] < order[id(item)] else (item, outer)
        around.append(item)


class Taken:
    """The addresses that a stack uses, as spans that are apart."""

    def __init__(self, cidrs: Iterable[IPv4Network]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        used = [*cidrs, *(reserved.cidr for reserved in RESERVED)]
        for cidr in sorted(used, key=lambda cidr: (cidr.network_address, cidr.prefixlen)):
            # Sorted, the larger of two nested ones is first: the smaller adds nothing.
            if not self._ends or int(cidr.network_address) > self._ends[-1]:
                self._starts.append(int(cidr.network_address))
                self._ends.append(int(cidr.broadcast_address))

    def next_free(self, cidr: IPv4Network) -> IPv4Network | None:
        """The next private range of the same length that nothing uses."""
        size, start = cidr.num_addresses, int(cidr.network_address)
        while start + size <= 2**32:
            index = bisect_right(self._starts, start + size - 1) - 1
            if index < 0 or self._ends[index] < start:
                candidate = IPv4Network((start, cidr.prefixlen))
                return candidate if candidate.is_private else None
            start = -(-(self._ends[index] + 1) // size) * size
        return None
