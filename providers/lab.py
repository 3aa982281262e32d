"""The lab: networks, firewalls and machines of the cloud on this computer."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network

import pulumi

from config.schema import FirewallRule
from config.schema import LabProvider as LabConfig
from network.nodes import Role
from network.plan import NodePlan
from providers.base import Login, Machine, MachineGroup
from providers.lab_types import Firewall, LabProvider, Network
from providers.lab_types import Machine as LabMachine
from providers.lab_types import MachineGroup as LabMachineGroup

# The lab's machines know one user, like the images of most GPU sellers.
USER = "root"
TARGETS: dict[Role, str] = {"gateway": "gateways", "control-plane": "control-plane", "worker": "workers"}


def lab_provider() -> LabProvider:
    """The lab has one account and no credentials."""
    return LabProvider("lab")


class LabRegion:
    """One network of the lab with its machines."""

    def __init__(
        self,
        name: str,
        config: LabConfig,
        node_cidr: IPv4Network,
        account: pulumi.ProviderResource,
        opts: pulumi.ResourceOptions,
    ) -> None:
        self._name = name
        self._nat = config.nat
        self._account = account
        self._network = Network(
            f"{name}-network",
            name=name,
            cidr=str(node_cidr),
            lan=config.lan,
            nat=config.nat,
            opts=self._options(opts),
        )

    def _options(self, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(provider=self._account))

    def firewall(
        self, role: Role, ingress: Sequence[FirewallRule], opts: pulumi.ResourceOptions
    ) -> pulumi.Resource | None:
        return Firewall(
            f"{self._name}-{TARGETS[role]}-firewall",
            network=self._network.name,
            target=TARGETS[role],
            ingress=[
                {"protocol": rule.protocol, "port": rule.port, "source": str(rule.source)} for rule in ingress
            ],
            opts=self._options(opts),
        )

    def machine(self, node: NodePlan, opts: pulumi.ResourceOptions) -> Machine:
        machine = LabMachine(
            node.name,
            name=node.name,
            network=self._network.name,
            role=node.role,
            node_ip=str(node.node_ip),
            pod_cidr=str(node.pod_cidr),
            # A device behind NAT has no address of its own, which is what `nat` is for; the API server needs one.
            public=node.role == "control-plane" or (node.device and self._nat is None),
            generation=node.generation,
            opts=self._options(opts),
        )
        return Machine(
            name=node.name,
            login=Login(host=machine.ssh_host, port=machine.ssh_port, user=USER, host_key=machine.host_key),
            public_address=machine.public_ip,
            provider_id=_provider_id(node),
            resource=machine,
        )

    def machine_group(
        self, name: str, nodes: Sequence[NodePlan], opts: pulumi.ResourceOptions
    ) -> MachineGroup:
        group = LabMachineGroup(
            f"{name}-machines",
            name=name,
            network=self._network.name,
            role="worker",
            machines={
                node.name: {"node_ip": str(node.node_ip), "pod_cidr": str(node.pod_cidr)} for node in nodes
            },
            opts=self._options(opts),
        )
        return MachineGroup(
            resource=group,
            user=USER,
            hosts=group.hosts,
            provider_ids={node.name: _provider_id(node) for node in nodes},
        )

    def route_remote(self, gateways: Sequence[Machine], opts: pulumi.ResourceOptions) -> None:
        """The lab's networks hold nothing but nodes."""


def _provider_id(node: NodePlan) -> str:
    return f"lab://{node.region}/{node.name}"
