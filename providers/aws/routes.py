"""Routes of the VPC to other regions, and the right of its gateways to move them when one of them is dead."""

from __future__ import annotations

import json
from typing import Any

import pulumi
from pulumi_aws import ec2, iam

from config.places import AwsProvider
from providers.aws.network import AwsNetwork, tags_of
from providers.base import Site


class GatewayRoutes:
    """
    A route leads to one interface, dead or alive. So the first one leads to gateway 1, and with several gateways their
    agents move it (agent/aws/): `profile` is what lets them, None where nobody could take over.
    """

    profile: pulumi.Output[str] | None = None

    def __init__(
        self, site: Site, place: AwsProvider, network: AwsNetwork, opts: pulumi.ResourceOptions
    ) -> None:
        self._site = site
        self._network = network
        if site.plan.cloud_routes:
            self.profile = self._profile(opts)

    def lead_to(self, interface: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        moved = pulumi.ResourceOptions(ignore_changes=["network_interface_id"]) if self.profile else None
        for label, table in self._network.tables.items():
            for cidr in self._site.remote:
                ec2.Route(
                    f"{self._site.plan.name}-{label}-to-{cidr}",
                    route_table_id=table.id,
                    destination_cidr_block=str(cidr),
                    network_interface_id=interface,
                    opts=pulumi.ResourceOptions.merge(opts, moved),
                )

    def _profile(self, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
        name = f"{self._site.plan.name}-gateways"
        role = iam.Role(
            f"{name}-role",
            description=f"Gateways of region {self._site.plan.name}: which of them the VPC's routes lead to",
            assume_role_policy=json.dumps(_document(_trust())),
            tags=tags_of(self._site, name),
            opts=opts,
        )
        policy = iam.RolePolicy(
            f"{name}-policy",
            role=role.id,
            policy=pulumi.Output.all(*(table.arn for table in self._network.tables.values())).apply(
                lambda arns: json.dumps(_document(*_rights(arns)))
            ),
            opts=opts,
        )
        profile = iam.InstanceProfile(
            f"{name}-profile",
            role=role.name,
            tags=tags_of(self._site, name),
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[policy])),
        )
        found: pulumi.Output[str] = profile.name
        return found


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _trust() -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}


def _rights(tables: list[str]) -> tuple[dict[str, Any], ...]:
    """
    What can be read of EC2 cannot be limited to a resource; what may be changed is
    (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html).
    """
    return (
        {
            "Sid": "SeeWhereRoutesLead",
            "Effect": "Allow",
            "Action": ["ec2:DescribeRouteTables", "ec2:DescribeNetworkInterfaces"],
            "Resource": "*",
        },
        {
            "Sid": "MoveRoutes",
            "Effect": "Allow",
            "Action": "ec2:ReplaceRoute",
            "Resource": sorted(tables),
        },
    )
