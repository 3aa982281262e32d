"""Security groups: one for each role that a region has machines of."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_aws import ec2, vpc

from config.schema import FirewallRule
from network.nodes import Role
from providers.aws.network import ANYWHERE, AwsNetwork, tags_of
from providers.base import Site

TARGETS: dict[Role, str] = {"gateway": "gateways", "control-plane": "control-plane", "worker": "workers"}
# Every protocol; ports must not be given with it.
EVERYTHING = "-1"


class RoleGroup:
    """
    What the machines of a role accept: the openings, their own region, and the other regions, whose packets keep
    their source addresses. The sources are ranges and not groups: a pod's packet carries no address of a machine.
    """

    resource: pulumi.CustomResource
    # A machine that starts before its rules are there could not be reached, nor reach anybody.
    rules: list[pulumi.Resource]

    def __init__(
        self,
        site: Site,
        network: AwsNetwork,
        role: Role,
        ingress: Sequence[FirewallRule],
        opts: pulumi.ResourceOptions,
    ) -> None:
        self._name = f"{site.plan.name}-{TARGETS[role]}-firewall"
        self._opts = opts
        self.resource = ec2.SecurityGroup(
            self._name,
            description=f"{TARGETS[role]} of region {site.plan.name}",
            vpc_id=network.vpc_id,
            tags=tags_of(site, f"{site.plan.name}-{TARGETS[role]}"),
            opts=opts,
        )
        # Where every machine is a device, all that comes from machines and pods comes through its own tunnel.
        gateways = site.plan.mode == "gateway"
        inside = [site.plan.node_cidr, site.plan.pod_cidr] if gateways else []
        remote = site.remote if gateways else ()
        self.rules = [
            *(self._opening(rule) for rule in ingress),
            *(self._from(str(cidr), "inside the region") for cidr in inside),
            *(self._from(str(cidr), "another region") for cidr in remote),
            self._out(),
        ]

    def _opening(self, rule: FirewallRule) -> pulumi.Resource:
        made: pulumi.Resource = vpc.SecurityGroupIngressRule(
            f"{self._name}-{rule.protocol}-{rule.port}-{rule.source}",
            security_group_id=self.resource.id,
            ip_protocol=rule.protocol,
            from_port=rule.port,
            to_port=rule.port,
            cidr_ipv4=str(rule.source),
            opts=self._opts,
        )
        return made

    def _from(self, cidr: str, description: str) -> pulumi.Resource:
        made: pulumi.Resource = vpc.SecurityGroupIngressRule(
            f"{self._name}-from-{cidr}",
            security_group_id=self.resource.id,
            ip_protocol=EVERYTHING,
            cidr_ipv4=cidr,
            description=description,
            opts=self._opts,
        )
        return made

    def _out(self) -> pulumi.Resource:
        """A group that is made here lets nothing out by itself: the provider takes Amazon's default rule away."""
        made: pulumi.Resource = vpc.SecurityGroupEgressRule(
            f"{self._name}-out",
            security_group_id=self.resource.id,
            ip_protocol=EVERYTHING,
            cidr_ipv4=ANYWHERE,
            opts=self._opts,
        )
        return made
