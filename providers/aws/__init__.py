"""Amazon: a VPC with one subnet, security groups by role, instances, and routes that lead to the gateways."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from config.places import AwsProvider
from config.schema import FirewallRule
from network.nodes import Role
from network.plan import NodePlan
from providers.aws.firewall import RoleGroup
from providers.aws.machines import Instances
from providers.aws.network import network_of
from providers.aws.routes import GatewayRoutes
from providers.base import Machine, MachineGroup, Site
from providers.managed import CloudNetwork


def aws_provider(region: str) -> pulumi.ProviderResource:
    """The account is that of the environment (AWS_PROFILE, a role by OIDC); no credential stands in the stack."""
    tags = aws.ProviderDefaultTagsArgs(tags={"tailspan:stack": pulumi.get_stack()})
    provider: pulumi.ProviderResource = aws.Provider(f"aws-{region}", region=region, default_tags=tags)
    return provider


class AwsRegion:
    """
    One region in one subnet. Every machine has a public address and a security group that lets in what is stated and
    nothing else: see docs/clouds/aws.md for why there is no NAT gateway.
    """

    def __init__(
        self, site: Site, place: AwsProvider, account: pulumi.ProviderResource, opts: pulumi.ResourceOptions
    ) -> None:
        self._site = site
        self._account = account
        self._groups: dict[Role, RoleGroup] = {}
        self._network = network_of(site, place, self._options(opts))
        self._routes = GatewayRoutes(site, place, self._network, self._options(opts))
        self._instances = Instances(site, place, self._network, self._routes.profile)

    def _options(self, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(provider=self._account))

    def firewall(
        self, role: Role, ingress: Sequence[FirewallRule], opts: pulumi.ResourceOptions
    ) -> pulumi.Resource | None:
        self._groups[role] = RoleGroup(self._site, self._network, role, ingress, self._options(opts))
        return self._groups[role].resource

    def machine(self, node: NodePlan, opts: pulumi.ResourceOptions) -> Machine:
        return self._instances.machine(node, self._groups[node.role], self._options(opts))

    def machine_group(
        self, name: str, nodes: Sequence[NodePlan], opts: pulumi.ResourceOptions
    ) -> MachineGroup:
        return self._instances.group(name, nodes, self._groups["worker"], opts, self._account)

    def cloud_network(self) -> CloudNetwork:
        # That of a network which is made here; the plan refuses EKS beside an existing one.
        table = self._network.tables["routes"].id
        return CloudNetwork(
            account=self._account,
            network=pulumi.Output.from_input(self._network.vpc_id),
            route_table=pulumi.Output.from_input(table),
            way_out=self._network.way_out,
        )

    def route_remote(self, gateways: Sequence[Machine], opts: pulumi.ResourceOptions) -> None:
        if gateways:
            first = self._instances.interfaces[gateways[0].name]
            self._routes.lead_to(first, self._options(opts))
