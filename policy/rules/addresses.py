"""Risk: two networks with the same addresses. Packets for one then reach the other, or nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import combinations

from pulumi_policy import PolicyResource, ResourceValidationArgs, Severity, StackValidationArgs

from .inputs import Props, rows
from .rule import Report, resource_rule, stack_rule, what

ADDRESS_MAP = "tailspan:components:AddressMap"
LAB_NETWORK = "lab:index:Network"
GCP_SUBNETWORK = "gcp:compute/subnetwork:Subnetwork"
AWS_VPC = "aws:ec2/vpc:Vpc"

_URL = "https://tailscale.com/kb/1019/subnets"
_REMEDIATION = (
    "Give every node_cidr, pod_cidr and service_cidr of the stack file, and every network joined to it, "
    "a range of its own."
)


@dataclass(frozen=True)
class Field:
    """A CIDR-bearing input: who has it, where it is written, and its text."""

    owner: str
    field: str
    text: str
    urn: str
    mapped: bool  # from the address map, which describes ranges that other resources then create


@dataclass(frozen=True)
class Range:
    """A field whose text is a range."""

    source: Field
    cidr: IPv4Network

    def __str__(self) -> str:
        return f"{self.source.owner}: {self.source.field} {self.cidr}"


def address_map_has_no_overlap(args: ResourceValidationArgs, report: Report) -> None:
    """The ranges of the stack file, judged alone: reported even if the program stops afterwards."""
    ranges = _judged(_map_fields(args.props, args.urn), f"address map {args.name}", args.urn, report)
    for first, second in combinations(ranges, 2):
        if first.cidr.overlaps(second.cidr):
            report(_message(first, second, ranges), args.urn)


def networks_have_no_overlap(args: StackValidationArgs, report: Report) -> None:
    """Every range that any resource of the stack has."""
    ranges: list[Range] = []
    for resource in args.resources:
        ranges += _judged(_fields(resource), what(resource), resource.urn, report)
    for first, second in combinations(ranges, 2):
        same_map = first.source.mapped and second.source.mapped and first.source.urn == second.source.urn
        if not same_map and first.cidr.overlaps(second.cidr) and not _same_network(first, second):
            report(_message(first, second, ranges), second.source.urn)


def _judged(fields: Iterator[Field], owner: str, urn: str, report: Report) -> list[Range]:
    """The ranges of an object; what cannot be read as one is reported."""
    ranges: list[Range] = []
    with report.judging(owner, urn):
        for field in fields:
            try:
                ranges.append(Range(field, IPv4Network(field.text, strict=False)))
            except ValueError:
                report(
                    f"{field.owner}: {field.field} {field.text!r} is not an IPv4 range. "
                    "Write one such as 10.1.0.0/24.",
                    urn,
                )
    return ranges


def _fields(resource: PolicyResource) -> Iterator[Field]:
    props, urn = resource.props, resource.urn
    if resource.resource_type == ADDRESS_MAP:
        yield from _map_fields(props, urn)
    elif resource.resource_type == LAB_NETWORK:
        yield from _field(props, "cidr", f"lab network {props.get('name') or resource.name}", urn)
    elif resource.resource_type == GCP_SUBNETWORK:
        owner = f"subnetwork {props.get('name') or resource.name}"
        yield from _field(props, "ipCidrRange", owner, urn)
        for row in rows(props, "secondaryIpRanges"):
            yield from _field(row, "ipCidrRange", f"{owner}, secondary range {row.get('rangeName')}", urn)
    elif resource.resource_type == AWS_VPC:
        yield from _field(props, "cidrBlock", f"VPC {resource.name}", urn)


def _field(props: Props, key: str, owner: str, urn: str) -> Iterator[Field]:
    if props.get(key) is not None:
        yield Field(owner, key, str(props[key]), urn, mapped=False)


def _map_fields(props: Props, urn: str) -> Iterator[Field]:
    if props.get("serviceCidr") is not None:
        yield Field("kubernetes", "service_cidr", str(props["serviceCidr"]), urn, mapped=True)
    for region in rows(props, "regions"):
        owner = f"region {region['name']}"
        yield Field(owner, "node_cidr", str(region["nodeCidr"]), urn, mapped=True)
        yield Field(owner, "pod_cidr", str(region["podCidr"]), urn, mapped=True)


def _same_network(first: Range, second: Range) -> bool:
    """A region's range in the address map, and the resource that makes it (or the VPC around it)."""
    if first.source.mapped == second.source.mapped:
        return False
    planned, made = (first, second) if first.source.mapped else (second, first)
    region = planned.source.owner.removeprefix("region ")
    words = made.source.owner.replace(",", " ").split()
    named = any(
        word == region or word.startswith(f"{region}-") or word.endswith(f"-{region}") for word in words
    )
    around = made.source.field == "cidrBlock" and planned.cidr.subnet_of(made.cidr)
    return named and (planned.cidr == made.cidr or around)


def _message(first: Range, second: Range, ranges: Sequence[Range]) -> str:
    """The later one is the one that was added, most likely: it is the one to change."""
    free = _next_free(second.cidr, [item.cidr for item in ranges])
    example = f", for example {second.source.field}: {free}" if free else ""
    where = "under tailspan:stack in the stack file" if second.source.mapped else "in its inputs"
    return (
        f"{second} overlaps {first}. Write a range that nothing else uses for "
        f"{second.source.owner} {where}{example}."
    )


def _next_free(cidr: IPv4Network, taken: Sequence[IPv4Network]) -> IPv4Network | None:
    size = cidr.num_addresses
    start = int(cidr.network_address)
    while start + size <= 2**32:
        candidate = IPv4Network((start, cidr.prefixlen))
        hit = next((other for other in taken if candidate.overlaps(other)), None)
        if hit is None:
            return candidate if candidate.is_private else None
        start = -(-(int(hit.broadcast_address) + 1) // size) * size
    return None


ADDRESS_MAP_HAS_NO_OVERLAP = resource_rule(
    name="address-map-has-no-overlap",
    description="Node, pod and service ranges of all regions are disjoint.",
    types=[ADDRESS_MAP],
    validate=address_map_has_no_overlap,
    severity=Severity.CRITICAL,
    remediation=_REMEDIATION,
    source=_URL,
)

NETWORKS_HAVE_NO_OVERLAP = stack_rule(
    name="networks-have-no-overlap",
    description="Networks, subnets and secondary ranges are disjoint, also from the address map.",
    validate=networks_have_no_overlap,
    severity=Severity.CRITICAL,
    remediation=_REMEDIATION,
    source=_URL,
)

RULES = (ADDRESS_MAP_HAS_NO_OVERLAP, NETWORKS_HAVE_NO_OVERLAP)
