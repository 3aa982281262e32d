"""Rules about ranges: what may not overlap, what is somebody else's, what lies in which supernet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import combinations

from config.schema import KubernetesConfig, StackConfig
from network.ranges import free_block, reserved_overlap

# Kubernetes keeps a bitmap of service addresses, so it refuses larger ranges; smaller ones run out of
# Services.
LARGEST_SERVICE_RANGE, SMALLEST_SERVICE_RANGE = 12, 24


@dataclass(frozen=True)
class _Range:
    owner: str
    field: str
    cidr: IPv4Network
    home: IPv4Network | None  # the supernet that must contain it

    def __str__(self) -> str:
        return f"{self.owner}: {self.field} {self.cidr}"


def range_problems(config: StackConfig) -> Iterator[str]:
    """Every problem of the stack's ranges."""
    ranges = _ranges(config)
    yield from _supernets(config.kubernetes)
    yield from _services(config.kubernetes)
    yield from _reserved(ranges)
    yield from _homes(ranges)
    yield from _overlaps(ranges)


def _ranges(config: StackConfig) -> list[_Range]:
    kubernetes = config.kubernetes
    found = [_Range("kubernetes", "service_cidr", kubernetes.service_cidr, None)]
    for region in config.regions:
        owner = f"region {region.name}"
        found.append(_Range(owner, "node_cidr", region.node_cidr, kubernetes.node_supernet))
        found.append(_Range(owner, "pod_cidr", region.pod_cidr, kubernetes.pod_supernet))
    return found


def _supernets(kubernetes: KubernetesConfig) -> Iterator[str]:
    supernets = {"node_supernet": kubernetes.node_supernet, "pod_supernet": kubernetes.pod_supernet}
    if kubernetes.node_supernet.overlaps(kubernetes.pod_supernet):
        yield (
            f"kubernetes: node_supernet {kubernetes.node_supernet} overlaps pod_supernet "
            f"{kubernetes.pod_supernet}; "
            "write two ranges apart, for example node_supernet: 10.0.0.0/9 and pod_supernet: 10.128.0.0/9"
        )
    if kubernetes.service_cidr.overlaps(kubernetes.pod_supernet):
        yield (
            f"kubernetes: service_cidr {kubernetes.service_cidr} overlaps pod_supernet "
            f"{kubernetes.pod_supernet}, "
            "so kube-proxy would take Services for pods; write service_cidr: 10.96.0.0/16, "
            "or another range outside it"
        )
    for field, cidr in supernets.items():
        reserved = reserved_overlap(cidr, supernet=True)
        if reserved:
            yield (
                f"kubernetes: {field} {cidr} touches {reserved.cidr}, which belongs to {reserved.owner}; "
                f"write a private range, for example {field}: "
                f"{'10.0.0.0/9' if field == 'node_supernet' else '10.128.0.0/9'}"
            )


def _services(kubernetes: KubernetesConfig) -> Iterator[str]:
    length = kubernetes.service_cidr.prefixlen
    if not LARGEST_SERVICE_RANGE <= length <= SMALLEST_SERVICE_RANGE:
        yield (
            f"kubernetes: service_cidr {kubernetes.service_cidr} is a /{length}; "
            f"write a range between /{LARGEST_SERVICE_RANGE} and /{SMALLEST_SERVICE_RANGE}, "
            "for example 10.96.0.0/16"
        )


def _reserved(ranges: Sequence[_Range]) -> Iterator[str]:
    for item in ranges:
        reserved = reserved_overlap(item.cidr)
        if reserved:
            yield (
                f"{item} touches {reserved.cidr}, which belongs to {reserved.owner}; {_remedy(item, ranges)}"
            )


def _homes(ranges: Sequence[_Range]) -> Iterator[str]:
    for item in ranges:
        if item.home and not item.cidr.subnet_of(item.home):
            supernet = "node_supernet" if item.field == "node_cidr" else "pod_supernet"
            yield (
                f"{item} lies outside kubernetes.{supernet} {item.home}, so other regions "
                "would not route to it; "
                f"{_remedy(item, ranges)}"
            )


def _overlaps(ranges: Sequence[_Range]) -> Iterator[str]:
    for first, second in combinations(ranges, 2):
        if first.cidr.overlaps(second.cidr):
            # The later one is the one that was added, most likely.
            yield f"{second} overlaps {first}; {_remedy(second, ranges)}"


def _remedy(item: _Range, ranges: Sequence[_Range]) -> str:
    others = [other.cidr for other in ranges if other is not item]
    within = item.home or IPv4Network("10.0.0.0/8")
    free = free_block(within, item.cidr.prefixlen, others)
    if free is None:
        return f"no range of that size is free in {within}, write a smaller {item.field} or a larger supernet"
    return f"write a free range, for example {item.field}: {free}"
