"""Machines that exist already: a rack, a seller without an API, a colleague's workstation. Nothing is created."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from config.schema import FirewallRule, MachineConfig
from network.nodes import Role
from network.plan import NodePlan
from providers.base import Login, Machine, MachineGroup


class SshRegion:
    """
    A region of listed machines. Its firewall is somebody else's: what the stack file says of it is a statement,
    which the policies judge and `make check` proves.
    """

    def __init__(self, machines: Sequence[MachineConfig], user: str) -> None:
        self._machines = {machine.name: machine for machine in machines}
        self._user = user

    def firewall(
        self, role: Role, ingress: Sequence[FirewallRule], opts: pulumi.ResourceOptions
    ) -> pulumi.Resource | None:
        return None

    def machine(self, node: NodePlan, opts: pulumi.ResourceOptions) -> Machine:
        config = self._machines[node.name]
        return Machine(
            name=node.name,
            login=self._login(config),
            public_address=pulumi.Output.from_input(config.address or ""),
            provider_id=f"ssh://{node.region}/{node.name}",
        )

    def machine_group(
        self, name: str, nodes: Sequence[NodePlan], opts: pulumi.ResourceOptions
    ) -> MachineGroup:
        raise ValueError(f"node group {name}: machines on ssh are listed by name; write them under machines")

    def route_remote(self, gateways: Sequence[Machine], opts: pulumi.ResourceOptions) -> None:
        """The network is somebody else's: docs/clouds/ssh.md says what its router may be told."""

    def _login(self, config: MachineConfig) -> Login:
        jump = self._machines.get(config.jump) if config.jump else None
        return Login(
            # Behind a jump host the machine is reached by its LAN address.
            host=config.address or str(config.node_ip),
            port=config.port,
            user=self._user,
            host_key=config.host_key or "",
            jump=self._login(jump) if jump else None,
        )
