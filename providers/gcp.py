"""Google Cloud: a VPC, firewall rules, virtual machines, and routes for clients that are no nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from config.places import GcpProvider
from config.schema import FirewallRule
from network.nodes import Role
from network.plan import NodePlan
from providers.base import Login, Machine, MachineGroup, Site
from providers.gcp_machines import GcpMachines, provider_id
from providers.gcp_network import GcpNetwork
from providers.gcp_routes import GcpRoutes
from providers.gcp_types import provider
from providers.managed import CloudNetwork


def gcp_provider(project: str, region: str) -> pulumi.ProviderResource:
    """One project and region; who acts is the environment's affair (Application Default Credentials)."""
    return provider(project, region)


class GcpRegion:
    """One region's network and machines at Google Cloud, in one zone."""

    def __init__(
        self,
        site: Site,
        place: GcpProvider,
        account: pulumi.ProviderResource,
        opts: pulumi.ResourceOptions,
    ) -> None:
        self._account = account
        self._site = site
        options = self._options(opts)
        self._network = GcpNetwork(site, place, options)
        self._machines = GcpMachines(site, place, self._network, options)
        self._routes = GcpRoutes(site, place, self._network, options)

    def _options(self, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(provider=self._account))

    def firewall(
        self, role: Role, ingress: Sequence[FirewallRule], opts: pulumi.ResourceOptions
    ) -> pulumi.Resource | None:
        return self._network.open(role, ingress, self._options(opts))

    def machine(self, node: NodePlan, opts: pulumi.ResourceOptions) -> Machine:
        return self._machines.create(node, self._options(opts))

    def machine_group(
        self, name: str, nodes: Sequence[NodePlan], opts: pulumi.ResourceOptions
    ) -> MachineGroup:
        group = pulumi.ComponentResource(
            "tailspan:gcp:MachineGroup", f"{name}-machines", {"machines": [node.name for node in nodes]}, opts
        )
        inside = self._options(pulumi.ResourceOptions(parent=group))
        hosts = {}
        for node in nodes:
            machine = self._machines.create(node, inside)
            # Known when there is a machine, so that nobody dials before.
            hosts[node.name] = pulumi.Output.all(
                machine=self._machines.made[node.name].id, host=_host(machine.login)
            ).apply(lambda values: values["host"])
        found: pulumi.Output[Any] = pulumi.Output.from_input(hosts)
        group.register_outputs({})
        return MachineGroup(
            resource=group,
            user=self._site.ssh.user,
            hosts=found,
            provider_ids={node.name: provider_id(node) for node in nodes},
        )

    def cloud_network(self) -> CloudNetwork:
        return CloudNetwork(
            account=self._account, network=self._network.network.id, lead=self._routes.lead_to_groups
        )

    def route_remote(self, gateways: Sequence[Machine], opts: pulumi.ResourceOptions) -> None:
        self._routes.lead([self._machines.made[gateway.name] for gateway in gateways])


def _host(login: Login) -> dict[str, Any]:
    """A login as ops/ reads it."""
    hop = {"ssh_host": login.host, "ssh_port": login.port, "host_key": login.host_key}
    return hop | ({"jump": _host(login.jump)} if login.jump else {})
