"""Rules about ranges: what may not overlap, what is somebody else's, what lies in which supernet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import combinations

from config.schema import KubernetesConfig, RegionConfig, StackConfig
from network.ranges import free_block, reserved_overlap
from network.slot_rules import slot_problems, slot_remedy

# Kubernetes keeps a bitmap of service addresses, so it refuses larger ranges; smaller ones run out of
# Services.
LARGEST_SERVICE_RANGE, SMALLEST_SERVICE_RANGE = 12, 24


@dataclass(frozen=True)
class _Range:
    owner: str
    field: str
    cidr: IPv4Network
    home: IPv4Network | None = None  # the supernet that must contain it
    region: RegionConfig | None = None

    def __str__(self) -> str:
        return f"{self.owner}: {self.field} {self.cidr}"


def range_problems(config: StackConfig) -> Iterator[str]:
    """Every problem of the stack's ranges."""
    rules = _RangeRules(config)
    yield from _supernets(config.kubernetes)
    yield from _services(config.kubernetes)
    yield from slot_problems(config)
    yield from rules.reserved()
    yield from rules.homes()
    yield from rules.overlaps()
    yield from rules.local()


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


class _RangeRules:
    """What may not touch what; knows all ranges, because a remedy names a free one."""

    def __init__(self, config: StackConfig) -> None:
        self._config = config
        kubernetes = config.kubernetes
        self._ranges = [_Range("kubernetes", "service_cidr", kubernetes.service_cidr)]
        for region in config.regions:
            owner = f"region {region.name}"
            self._ranges += [
                _Range(owner, "node_cidr", region.node_cidr, kubernetes.node_supernet, region),
                _Range(owner, "pod_cidr", region.pod_cidr, kubernetes.pod_supernet, region),
            ]
        self._taken = [item.cidr for item in self._ranges] + [
            *(other.cidr for other in config.reserved),
            *(cidr for region in config.regions for cidr in region.lan_ranges),
        ]

    def reserved(self) -> Iterator[str]:
        """What belongs to others: by standard, by Tailscale, or as the stack file says."""
        for item in self._ranges:
            reserved = reserved_overlap(item.cidr)
            if reserved:
                yield (
                    f"{item} touches {reserved.cidr}, which belongs to {reserved.owner}; {self._remedy(item)}"
                )
        kubernetes = self._config.kubernetes
        supernets = [
            _Range("kubernetes", "node_supernet", kubernetes.node_supernet),
            _Range("kubernetes", "pod_supernet", kubernetes.pod_supernet),
        ]
        for other in self._config.reserved:
            for item in supernets:
                if item.cidr.overlaps(other.cidr):
                    yield (
                        f"{item} touches reserved {other.cidr} ({other.owner}): machines route a whole supernet to "
                        f"their gateway and would not reach it any more; {self._supernet_remedy(item)}"
                    )
            for item in self._ranges:
                if item.cidr.overlaps(other.cidr):
                    yield f"{item} overlaps reserved {other.cidr} ({other.owner}); {self._remedy(item)}"

    def homes(self) -> Iterator[str]:
        """Each region's ranges lie in the supernets."""
        for item in self._ranges:
            if item.home and not item.cidr.subnet_of(item.home):
                supernet = "node_supernet" if item.field == "node_cidr" else "pod_supernet"
                yield (
                    f"{item} lies outside kubernetes.{supernet} {item.home}, so other regions "
                    f"would not route to it; {self._remedy(item)}"
                )

    def overlaps(self) -> Iterator[str]:
        """No two ranges share an address."""
        for first, second in combinations(self._ranges, 2):
            if first.cidr.overlaps(second.cidr) and not _same_slot(first, second):
                # The later one is the one that was added, most likely.
                yield f"{second} overlaps {first}; {self._remedy(second)}"

    def local(self) -> Iterator[str]:
        """What a region's machines find at home may be in no other place, too."""
        for region in self._config.regions:
            for cidr in region.lan_ranges:
                where = f"region {region.name}: lan_ranges {cidr}"
                reserved = reserved_overlap(cidr, supernet=True)
                if reserved:
                    yield (
                        f"{where} touches {reserved.cidr}, which belongs to {reserved.owner}; "
                        "move the region to a network with other addresses, then write those in lan_ranges"
                    )
                for item in self._ranges:
                    if not item.cidr.overlaps(cidr):
                        continue
                    if item.region is not region:
                        yield (
                            f"{item} overlaps {where}, so its machines would look for it at home; "
                            f"{self._remedy(item)}"
                        )
                    elif cidr != item.cidr and cidr.subnet_of(item.cidr):
                        yield f"{where} is cut out of the region's own {item.field} {item.cidr}; {self._remedy(item)}"

    def _remedy(self, item: _Range) -> str:
        if item.region is not None and item.region.slot is not None:
            return slot_remedy(self._config)
        others = list(self._taken)
        others.remove(item.cidr)
        within = item.home or IPv4Network("10.0.0.0/8")
        free = free_block(within, item.cidr.prefixlen, others)
        if free is None:
            return f"no range of that size is free in {within}, write a smaller {item.field} or a larger supernet"
        return f"write a free range, for example {item.field}: {free}"

    def _supernet_remedy(self, item: _Range) -> str:
        """The largest private range for a supernet that leaves the reserved ones alone."""
        other = self._config.kubernetes
        beside = other.pod_supernet if item.field == "node_supernet" else other.node_supernet
        obstacles = [beside, other.service_cidr, *(reserved.cidr for reserved in self._config.reserved)]
        for prefix in range(9, 17):
            for private in ("10.0.0.0/8", "172.16.0.0/12"):
                free = free_block(IPv4Network(private), prefix, obstacles)
                if free is not None:
                    return (
                        f"write a supernet beside it, for example {item.field}: {free}, "
                        f"with every {_INSIDE[item.field]} inside"
                    )
        return f"write a {item.field} that leaves it alone"


_INSIDE = {"node_supernet": "node_cidr", "pod_supernet": "pod_cidr"}


def _same_slot(first: _Range, second: _Range) -> bool:
    """Two regions on one slot have a line of their own."""
    one, other = first.region, second.region
    same_field = first.field == second.field
    return bool(one and other and same_field and one.slot is not None and one.slot == other.slot)
