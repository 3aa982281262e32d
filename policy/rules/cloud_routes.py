"""Routes of clouds to other regions: machines that are not nodes, and a managed control plane, have no other way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, collapse_addresses

from pulumi_policy import PolicyResource, Severity, StackValidationArgs

from .inputs import known, rows
from .known import ADDRESS_MAP, AWS_ROUTE, AWS_ROUTE_TABLE, GCP_ROUTE, REGION_TYPES
from .ranges import RANGE_TYPES, Sense, fields, map_fields, site
from .rule import Report, stack_rule, what


@dataclass
class _Table:
    """What one route table (on GCP: one network) sends somewhere, default routes left out."""

    name: str
    urn: str
    site: str
    destinations: list[IPv4Network] = field(default_factory=list)

    def knows(self, cidr: IPv4Network) -> bool:
        return any(cidr.subnet_of(known) for known in collapse_addresses(self.destinations))


def routes_reach_every_region(args: StackValidationArgs, report: Report) -> None:
    """
    Judged are networks in which a region of the address map is made. A table that has a route to some other region has
    one to all of them; and where a stack makes the tables of a VPC, at least one of them does. A region whose machines
    are all devices of the tailnet has nobody that a route could lead to.
    """
    planned = _planned(args.resources)
    if not planned:
        return
    homes = _homes(args.resources, planned)
    alone = _without_gateways(args.resources)
    tables = _tables(args.resources, report)
    for place, region in sorted(homes.items()):
        if region in alone:
            continue
        remote = {cidr: owner for owner, cidrs in planned.items() if owner != region for cidr in cidrs}
        mine = [table for table in tables if table.site == place]
        partly = [table for table in mine if any(table.knows(cidr) for cidr in remote)]
        for table in partly or mine[:1]:
            for cidr, owner in remote.items():
                if not table.knows(cidr):
                    report(
                        f"{table.name}: has no route to {cidr} of {owner}, so packets of {region} for it leave by the "
                        f"default route. Add a route to {cidr} by way of {region}'s gateways.",
                        table.urn,
                    )


def _planned(resources: Sequence[PolicyResource]) -> dict[str, list[IPv4Network]]:
    """Node and pod ranges by region."""
    found: dict[str, list[IPv4Network]] = defaultdict(list)
    for resource in resources:
        if resource.resource_type == ADDRESS_MAP:
            for each in map_fields(resource):
                if each.field != "service_cidr":
                    found[each.owner].append(IPv4Network(each.text, strict=False))
    return found


def _without_gateways(resources: Sequence[PolicyResource]) -> set[str]:
    return {
        f"region {known(resource.props, 'name')}"
        for resource in resources
        if resource.resource_type in REGION_TYPES and known(resource.props, "mode") == "per-node"
    }


def _homes(resources: Sequence[PolicyResource], planned: dict[str, list[IPv4Network]]) -> dict[str, str]:
    """Virtual networks that have a region's node range as a subnet, and that region."""
    nodes = {cidrs[0]: owner for owner, cidrs in planned.items()}
    homes: dict[str, str] = {}
    for resource in resources:
        if resource.resource_type not in RANGE_TYPES:
            continue
        for each in _known_subnets(resource):
            owner = nodes.get(each[1])
            if owner:
                homes[each[0]] = owner
    return homes


def _known_subnets(resource: PolicyResource) -> Iterator[tuple[str, IPv4Network]]:
    """Subnets with their network; unknown or broken ranges are said by the rules about addresses."""
    if known(resource.props, "cidrBlock") is None and known(resource.props, "ipCidrRange") is None:
        return
    for each in fields(resource):
        if each.sense is Sense.SUBNET and each.site:
            yield each.site, IPv4Network(each.text, strict=False)


def _tables(resources: Sequence[PolicyResource], report: Report) -> list[_Table]:
    tables: dict[str, _Table] = {}
    for resource in resources:
        with report.judging(what(resource), resource.urn):
            if resource.resource_type == AWS_ROUTE_TABLE:
                table = _Table(f"route table {resource.name}", resource.urn, site(resource, "vpcId"))
                table.destinations += _destinations(
                    [row.get("cidrBlock") for row in rows(resource.props, "routes")]
                )
                tables[resource.urn] = table
            elif resource.resource_type == GCP_ROUTE:
                network = site(resource, "network")
                table = tables.setdefault(
                    network, _Table(f"routes of network {network.rsplit('::', 1)[-1]}", resource.urn, network)
                )
                table.destinations += _destinations([resource.props.get("destRange")])
    for resource in resources:
        if resource.resource_type == AWS_ROUTE:
            with report.judging(what(resource), resource.urn):
                for owner in resource.property_dependencies.get("routeTableId", []):
                    if owner.urn in tables:
                        tables[owner.urn].destinations += _destinations(
                            [resource.props.get("destinationCidrBlock")]
                        )
    return list(tables.values())


def _destinations(values: Sequence[object]) -> Iterator[IPv4Network]:
    for value in values:
        # Empty: a table that exists says so of the ranges that a route of another kind does not have.
        if isinstance(value, str) and value and ":" not in value and not value.endswith("/0"):
            yield IPv4Network(value, strict=False)


ROUTES_REACH_EVERY_REGION = stack_rule(
    name="cloud-routes-reach-every-region",
    description="A cloud's route tables lead to every other region's nodes and pods.",
    validate=routes_reach_every_region,
    severity=Severity.HIGH,
    remediation="Add a route to each other region's node_cidr and pod_cidr, or to a supernet of them, by the gateways.",
    source="https://docs.aws.amazon.com/eks/latest/userguide/hybrid-nodes-networking.html",
)

RULES = (ROUTES_REACH_EVERY_REGION,)
