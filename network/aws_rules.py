"""Rules about regions at Amazon: its zones, the sizes of its networks, and the addresses that it keeps for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

from config.schema import AwsProvider, RegionConfig, StackConfig
from network.nodes import NodeDraft

# https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html, and the same for subnets
LARGEST, SMALLEST = 16, 28
# The network's address, the router, the resolver, one for later, and the last one
# (https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html).
RESERVED_HOSTS = 4
RESOLVER = 2


def aws_problems(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    """Every problem of regions on aws that would only show while Amazon refuses to make them, or later."""
    for region in config.regions:
        place = region.provider
        if not isinstance(place, AwsProvider):
            continue
        where = f"region {region.name}"
        if place.zone[:-1] != place.region:
            yield (
                f"{where}: provider.zone {place.zone} is not one of region {place.region}; "
                f"write zone: {place.region}{place.zone[-1]}, or region: {place.zone[:-1]}"
            )
        yield from _size(region)
        mine = [draft for draft in drafts if draft.region is region]
        yield from _reserved(region, mine)
        yield from _gpu_types(mine)
        if place.vpc is not None:
            yield from _vpc(config, region, place.vpc.cidr)


def _size(region: RegionConfig) -> Iterator[str]:
    cidr = region.node_cidr
    if not LARGEST <= cidr.prefixlen <= SMALLEST:
        wanted = LARGEST if cidr.prefixlen < LARGEST else SMALLEST
        yield (
            f"region {region.name}: node_cidr {cidr} is the range of its subnet on aws, which has from /{LARGEST} to "
            f"/{SMALLEST}; write a /{wanted}"
        )


def _reserved(region: RegionConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    """The first and the last address of a range are nobody's anywhere: other rules say so."""
    cidr = region.node_cidr
    if cidr.num_addresses <= RESERVED_HOSTS + 1:
        return
    first, last = cidr[RESERVED_HOSTS], cidr[-2]
    for draft in drafts:
        if draft.node_ip in cidr and 0 < draft.host < RESERVED_HOSTS:
            yield (
                f"{draft}: node IP {draft.node_ip} is one of the {RESERVED_HOSTS} first addresses of {cidr}, which "
                f"Amazon keeps for itself in every subnet; write {draft.field}: one of {first} to {last}"
            )


def _gpu_types(drafts: Sequence[NodeDraft]) -> Iterator[str]:
    for draft in drafts:
        if draft.machine and draft.machine.gpu and draft.machine_type is None:
            yield (
                f"{draft}: has gpu {draft.machine.gpu.type}, but no machine_type, and the default one has no GPU; "
                "write the instance type, for example machine_type: p5.48xlarge (8 H100) or g6.xlarge (1 L4)"
            )


def _vpc(config: StackConfig, region: RegionConfig, vpc: IPv4Network) -> Iterator[str]:
    """A VPC delivers its own range itself: no route leads away what lies in it."""
    where = f"region {region.name}: provider.vpc.cidr {vpc}"
    if not region.node_cidr.subnet_of(vpc):
        yield (
            f"{where} does not hold node_cidr {region.node_cidr}, which is the range of vpc.subnet; "
            "write that subnet's range as node_cidr, and the VPC's as vpc.cidr"
        )
    for owner, field, cidr in _others(config, region):
        if cidr.overlaps(vpc):
            yield (
                f"{where} overlaps {owner} {field} {cidr}: the VPC would look for it at home; write another "
                f"{field}, or make the region in a VPC of its own (remove provider.vpc)"
            )
    resolver = vpc[RESOLVER]
    if resolver not in region.node_cidr:
        yield from _resolver(config, where, resolver)


def _resolver(config: StackConfig, where: str, resolver: IPv4Address) -> Iterator[str]:
    """https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html"""
    kubernetes = config.kubernetes
    for field, supernet in (
        ("node_supernet", kubernetes.node_supernet),
        ("pod_supernet", kubernetes.pod_supernet),
    ):
        if resolver in supernet:
            yield (
                f"{where} has its resolver at {resolver}, outside node_cidr and inside kubernetes.{field} {supernet}: "
                "machines would send their DNS to their gateways; write a subnet that holds it (the VPC's first), "
                f"or a {field} without it"
            )


def _others(config: StackConfig, region: RegionConfig) -> Iterator[tuple[str, str, IPv4Network]]:
    yield "kubernetes", "service_cidr", config.kubernetes.service_cidr
    yield "its own", "pod_cidr", region.pod_cidr
    for other in config.regions:
        if other is not region:
            yield f"region {other.name}'s", "node_cidr", other.node_cidr
            yield f"region {other.name}'s", "pod_cidr", other.pod_cidr
