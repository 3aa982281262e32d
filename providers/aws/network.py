"""A region's VPC: one that is made, whose range is exactly the region's, or one that is there already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2

from config.places import AwsProvider, AwsVpc
from network.cloud_routes import REGION_TAG
from providers.base import Site

ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class RouteTable:
    """A route table, by its id and its full name."""

    id: pulumi.Input[str]
    arn: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class AwsNetwork:
    """Where machines are made. `way_out`: what must be there before a public address, and go after it."""

    vpc_id: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    tables: Mapping[str, RouteTable]
    way_out: tuple[pulumi.Resource, ...] = ()


def tags_of(site: Site, name: str, **more: str) -> dict[str, str]:
    """What its owner finds a resource by, in the console and on the bill."""
    return {"Name": name, REGION_TAG: site.plan.name} | more


def network_of(site: Site, place: AwsProvider, opts: pulumi.ResourceOptions) -> AwsNetwork:
    return _existing(place, place.vpc) if place.vpc else _made(site, place, opts)


def _existing(place: AwsProvider, vpc: AwsVpc) -> AwsNetwork:
    """Whose account it is the stack file does not say; a table's id is unique without it."""
    prefix = f"arn:{_partition(place.region)}:ec2:{place.region}:*:route-table"
    return AwsNetwork(
        vpc_id=vpc.id,
        subnet_id=vpc.subnet,
        tables={table: RouteTable(id=table, arn=f"{prefix}/{table}") for table in vpc.route_tables},
    )


def _partition(region: str) -> str:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html"""
    kinds = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((kind for prefix, kind in kinds.items() if region.startswith(prefix)), "aws")


def _made(site: Site, place: AwsProvider, opts: pulumi.ResourceOptions) -> AwsNetwork:
    """
    One subnet fills the VPC: only inside a subnet can a machine be another one's next hop, and a route table knows no
    dead gateway.
    """
    name, cidr = site.plan.name, str(site.plan.node_cidr)
    vpc = ec2.Vpc(
        f"{name}-vpc",
        cidr_block=cidr,
        enable_dns_support=True,
        enable_dns_hostnames=False,
        tags=tags_of(site, name),
        opts=opts,
    )
    subnet = ec2.Subnet(
        f"{name}-subnet",
        vpc_id=vpc.id,
        cidr_block=cidr,
        availability_zone=place.zone,
        # A machine that somebody else starts here gets no public address by itself.
        map_public_ip_on_launch=False,
        tags=tags_of(site, name),
        opts=opts,
    )
    internet = ec2.InternetGateway(f"{name}-internet", vpc_id=vpc.id, tags=tags_of(site, name), opts=opts)
    # Routes stand alone and not in the table: those that the gateways move must not be put back by the next update.
    table = ec2.RouteTable(f"{name}-routes", vpc_id=vpc.id, tags=tags_of(site, name), opts=opts)
    default = ec2.Route(
        f"{name}-default-route",
        route_table_id=table.id,
        destination_cidr_block=ANYWHERE,
        gateway_id=internet.id,
        opts=opts,
    )
    association = ec2.RouteTableAssociation(
        f"{name}-routes-subnet", route_table_id=table.id, subnet_id=subnet.id, opts=opts
    )
    return AwsNetwork(
        vpc_id=vpc.id,
        subnet_id=subnet.id,
        tables={"routes": RouteTable(id=table.id, arn=table.arn)},
        way_out=(internet, default, association),
    )
