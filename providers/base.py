"""What a place must offer so that its machines can become nodes: a network, firewalls, machines and a way to log in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, Protocol

import pulumi

from config.schema import FirewallRule, RegionConfig, SshConfig
from network.nodes import Role
from network.plan import NetworkPlan, NodePlan, RegionPlan


@dataclass(frozen=True, kw_only=True)
class Login:
    """How to reach a machine over SSH; `host_key` is compared, never learned on first use."""

    host: pulumi.Input[str]
    port: pulumi.Input[float]
    user: str
    host_key: pulumi.Input[str]
    jump: Login | None = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine that exists: its login, its address from outside and its identity at its provider."""

    name: str
    login: Login
    public_address: pulumi.Output[str]
    provider_id: str
    # None for a machine that somebody else made. Deleting the resource deletes the machine with all that is on it.
    resource: pulumi.Resource | None = None


@dataclass(frozen=True, kw_only=True)
class MachineGroup:
    """Machines of one kind in one resource; adding one makes that one and removing one removes that one."""

    resource: pulumi.Resource
    user: str
    # By machine: ssh_host, ssh_port and host_key, or in `trouble` why there is no such machine.
    hosts: pulumi.Output[Mapping[str, Mapping[str, Any]]]
    provider_ids: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Site:
    """A region for which a provider makes network and machines, and what it may know of the stack around it."""

    config: RegionConfig
    plan: RegionPlan
    network: NetworkPlan
    ssh: SshConfig
    # The secret that the host keys of machines are made from (providers/host_keys.py).
    host_key_seed: pulumi.Output[str]
    # Whether the API server is to be reached from outside the tailnet (access.api).
    public_api: bool = True

    @property
    def remote(self) -> tuple[IPv4Network, ...]:
        """Node and pod ranges of all other regions, sorted."""
        others = (region for region in self.network.regions if region.name != self.plan.name)
        return tuple(sorted(cidr for region in others for cidr in (region.node_cidr, region.pod_cidr)))


class RegionProvider(Protocol):
    """One region at one provider. `opts` of every call carries the parent component."""

    def firewall(
        self, role: Role, ingress: Sequence[FirewallRule], opts: pulumi.ResourceOptions
    ) -> pulumi.Resource | None:
        """Open the region's machines of a role to exactly these sources; None where there is no firewall to set."""

    def machine(self, node: NodePlan, opts: pulumi.ResourceOptions) -> Machine:
        """Create, or find, the machine of a planned node."""

    def machine_group(
        self, name: str, nodes: Sequence[NodePlan], opts: pulumi.ResourceOptions
    ) -> MachineGroup:
        """Create the machines of a node group; asked only where machines are counted, not listed."""

    def route_remote(self, gateways: Sequence[Machine], opts: pulumi.ResourceOptions) -> None:
        """
        Lead the network's traffic for other regions to the gateways, for clients that are not nodes: nodes have
        routes of their own. Nothing where the network is somebody else's.
        """
