"""Risk: two networks with the same addresses. Packets for one then reach the other, or nobody."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network

from pulumi_policy import ResourceValidationArgs, Severity, StackValidationArgs

from .known import ADDRESS_MAP
from .overlaps import RESERVED, Reserved, Taken, overlaps
from .ranges import RANGE_TYPES, Field, Range, Sense, fields
from .rule import Report, resource_rule, stack_rule, what

# A range that overlaps half the stack is one mistake: these lines name it.
_MOST_LINES = 3

_URL = "https://tailscale.com/kb/1019/subnets"
_REMEDIATION = (
    "Give every node_cidr, pod_cidr and service_cidr of the stack file, and every network joined to it, "
    "a range of its own."
)


def address_map_has_no_overlap(args: ResourceValidationArgs, report: Report) -> None:
    """The ranges of the stack file, judged alone: reported even if the program stops afterwards."""
    ranges = list(_judged(fields(args), report, aloud=True))
    _report(ranges, overlaps(ranges), report)


def networks_have_no_overlap(args: StackValidationArgs, report: Report) -> None:
    """Every range that any resource of the stack has."""
    ranges: list[Range] = []
    for resource in args.resources:
        if resource.resource_type in RANGE_TYPES:
            with report.judging(what(resource), resource.urn):
                ranges += _judged(fields(resource), report, aloud=resource.resource_type != ADDRESS_MAP)
    sites = _region_sites(ranges)
    conflicts = (pair for pair in overlaps(ranges) if _conflict(*pair, sites))
    _report(ranges, conflicts, report)


def ranges_avoid_reserved(args: ResourceValidationArgs, report: Report) -> None:
    """Each range alone, against those that belong to somebody on every machine."""
    for item in _judged(fields(args), report, aloud=False):
        touched = [reserved for reserved in RESERVED if _touches(item.cidr, reserved)]
        sharpest = [reserved for reserved in touched if item.cidr.subnet_of(reserved.cidr)] or touched
        for reserved in sharpest[:1]:
            report(
                f"{item} touches {reserved.cidr}, which belongs to {reserved.owner}. "
                f"Write a private range instead, such as 10.0.0.0/16, for {item.source.owner} {_where(item.source)}.",
                item.source.urn,
            )


def _touches(cidr: IPv4Network, reserved: Reserved) -> bool:
    return cidr.subnet_of(reserved.cidr) if reserved.inside else cidr.overlaps(reserved.cidr)


def _judged(found: Iterable[Field], report: Report, *, aloud: bool) -> Iterator[Range]:
    """The ranges of an object; one rule says aloud what cannot be read as one."""
    for field in found:
        try:
            yield Range(field, IPv4Network(field.text, strict=False))
        except ValueError:
            if aloud:
                report(
                    f"{field.owner}: {field.field} {field.text!r} is not an IPv4 range. "
                    "Write one such as 10.1.0.0/24.",
                    field.urn,
                )


def _report(ranges: Sequence[Range], pairs: Iterable[tuple[Range, Range]], report: Report) -> None:
    lines: Counter[int] = Counter()
    taken = Taken(item.cidr for item in ranges)
    for first, second in pairs:
        lines[id(second)] += 1
        if lines[id(second)] <= _MOST_LINES:
            report(_message(first, second, taken), second.source.urn)


def _region_sites(ranges: Sequence[Range]) -> dict[str, set[str]]:
    """The virtual networks in which a region's planned ranges are made, by the region's name."""
    planned = {item.cidr: item.source.owner for item in ranges if item.source.sense is Sense.PLANNED}
    sites: dict[str, set[str]] = defaultdict(set)
    for item in ranges:
        owner = planned.get(item.cidr)
        if owner and item.source.site and _named_after(item.source, owner):
            sites[owner].add(item.source.site)
    return sites


def _conflict(first: Range, second: Range, sites: dict[str, set[str]]) -> bool:
    """Whether an overlap is one: a subnet is inside its VPC, and a planned range is made by some resource."""
    one, other = first.source, second.source
    senses = {one.sense, other.sense}
    same_site = bool(one.site) and one.site == other.site
    if senses == {Sense.PLANNED}:
        # Of one map: said by the map's own rule.
        return one.urn != other.urn
    if Sense.REMOTE in senses:
        return same_site and senses != {Sense.REMOTE}
    if senses == {Sense.SPACE, Sense.SUBNET} and same_site:
        return False
    if senses == {Sense.SERVICES}:
        return False
    if Sense.PLANNED in senses:
        planned, made = (first, second) if one.sense is Sense.PLANNED else (second, first)
        return not _makes(planned, made, sites)
    return True


def _makes(planned: Range, made: Range, sites: dict[str, set[str]]) -> bool:
    """Whether a resource makes a planned range, or is the space around the one that does."""
    owner, source = planned.source.owner, made.source
    if planned.cidr == made.cidr:
        by_role = (planned.source.field, source.field) in _SAME_ROLE or _holds_services(
            planned.source, source
        )
        return by_role or _named_after(source, owner)
    # Beside a cloud that runs the control plane, a region's range is made in parts; they may not overlap each other.
    inside = source.sense in (Sense.SUBNET, Sense.SPACE) and made.cidr.subnet_of(planned.cidr)
    if inside and _named_after(source, owner):
        return True
    around = source.sense is Sense.SPACE and planned.cidr.subnet_of(made.cidr)
    return around and (_named_after(source, owner) or source.site in sites.get(owner, ()))


# A cluster's own ranges, which the stack file names too.
_SAME_ROLE = {
    ("pod_cidr", "clusterIpv4Cidr"),
    ("pod_cidr", "clusterIpv4CidrBlock"),
    ("pod_cidr", "podIpv4CidrBlock"),
    ("service_cidr", "servicesIpv4CidrBlock"),
    ("service_cidr", "serviceIpv4Cidr"),
}


def _holds_services(planned: Field, made: Field) -> bool:
    """GKE keeps the addresses of Services in a secondary range of its nodes' subnetwork."""
    return planned.field == "service_cidr" and made.owner.endswith("secondary range gke-services")


def _named_after(made: Field, owner: str) -> bool:
    region = owner.removeprefix("region ")
    words = made.owner.replace(",", " ").split()
    return any(
        word == region
        or word.startswith(f"{region}-")
        or word.endswith(f"-{region}")
        or f"-{region}-" in word
        for word in words
    )


def _message(first: Range, second: Range, taken: Taken) -> str:
    """The later one is the one that was added, most likely: it is the one to change."""
    remedy = second.source.remedy or first.source.remedy
    if remedy:
        return f"{second} overlaps {first}. To mend it, {remedy}."
    free = taken.next_free(second.cidr)
    example = f", for example {second.source.field}: {free}" if free else ""
    return (
        f"{second} overlaps {first}. Write a range that nothing else uses for "
        f"{second.source.owner} {_where(second.source)}{example}."
    )


def _where(source: Field) -> str:
    return "under tailspan:stack in the stack file" if source.sense is Sense.PLANNED else "in its inputs"


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
    description="Networks, subnets, secondary, cluster and service ranges are disjoint, also from the address map.",
    validate=networks_have_no_overlap,
    severity=Severity.CRITICAL,
    remediation=_REMEDIATION,
    source=_URL,
)

RANGES_AVOID_RESERVED = resource_rule(
    name="ranges-avoid-reserved-addresses",
    description="No network uses Tailscale's range 100.64.0.0/10 or another that machines reserve.",
    types=RANGE_TYPES,
    validate=ranges_avoid_reserved,
    severity=Severity.CRITICAL,
    remediation="Move the network to a private range (RFC 1918) outside 172.17.0.0/16.",
    source="https://tailscale.com/kb/1015/100.x-addresses",
)

RULES = (ADDRESS_MAP_HAS_NO_OVERLAP, NETWORKS_HAVE_NO_OVERLAP, RANGES_AVOID_RESERVED)
