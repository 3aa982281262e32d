"""The lab's Pulumi package: its provider and its resource types, as a generated SDK declares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi


class LabProvider(pulumi.ProviderResource):
    """The lab on this machine; it needs no credentials."""

    def __init__(self, resource_name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lab", resource_name, {}, opts)


class Network(pulumi.CustomResource):
    """A LAN behind a router that stands in the lab's internet."""

    name: pulumi.Output[str]
    cidr: pulumi.Output[str]
    lan: pulumi.Output[str]
    nat: pulumi.Output[str | None]

    def __init__(
        self,
        resource_name: str,
        *,
        name: pulumi.Input[str],
        cidr: pulumi.Input[str],
        lan: pulumi.Input[str] = "l2",
        nat: pulumi.Input[str | None] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"name": name, "cidr": cidr, "lan": lan, "nat": nat}
        super().__init__("lab:index:Network", resource_name, inputs, opts)


class Firewall(pulumi.CustomResource):
    """What the machines of one role accept from outside their network. What no rule opens is closed."""

    network: pulumi.Output[str]
    target: pulumi.Output[str]
    ingress: pulumi.Output[Sequence[Mapping[str, Any]]]

    def __init__(
        self,
        resource_name: str,
        *,
        network: pulumi.Input[str],
        target: pulumi.Input[str],
        ingress: pulumi.Input[Sequence[pulumi.Input[Mapping[str, pulumi.Input[Any]]]]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"network": network, "target": target, "ingress": ingress}
        super().__init__("lab:index:Firewall", resource_name, inputs, opts)


class Machine(pulumi.CustomResource):
    """A machine with systemd and SSH. A change of any input makes another machine."""

    name: pulumi.Output[str]
    public_ip: pulumi.Output[str]
    ssh_host: pulumi.Output[str]
    ssh_port: pulumi.Output[int]
    host_key: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        name: pulumi.Input[str],
        network: pulumi.Input[str],
        role: pulumi.Input[str],
        node_ip: pulumi.Input[str],
        pod_cidr: pulumi.Input[str | None] | None = None,
        public: pulumi.Input[bool] = False,
        generation: pulumi.Input[int] = 1,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "name": name,
            "network": network,
            "role": role,
            "node_ip": node_ip,
            "pod_cidr": pod_cidr,
            "public": public,
            "generation": generation,
        }
        computed = dict.fromkeys(("public_ip", "ssh_host", "ssh_port", "host_key"))
        super().__init__("lab:index:Machine", resource_name, {**inputs, **computed}, opts)

    def translate_output_property(self, prop: str) -> str:
        return NAMES.get(prop, prop)

    def translate_input_property(self, prop: str) -> str:
        return {python: wire for wire, python in NAMES.items()}.get(prop, prop)


class MachineGroup(pulumi.CustomResource):
    """Machines by name. One more or less changes only that one; another spec under a name is another machine."""

    name: pulumi.Output[str]
    hosts: pulumi.Output[Mapping[str, Mapping[str, Any]]]

    def __init__(
        self,
        resource_name: str,
        *,
        name: pulumi.Input[str],
        network: pulumi.Input[str],
        role: pulumi.Input[str],
        machines: pulumi.Input[Mapping[str, pulumi.Input[Mapping[str, pulumi.Input[str]]]]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"name": name, "network": network, "role": role, "machines": machines, "hosts": None}
        super().__init__("lab:index:MachineGroup", resource_name, inputs, opts)

    def translate_output_property(self, prop: str) -> str:
        return NAMES.get(prop, prop)

    def translate_input_property(self, prop: str) -> str:
        return {python: wire for wire, python in NAMES.items()}.get(prop, prop)


# The engine's spelling of the properties that Python spells differently.
NAMES = {
    "nodeIp": "node_ip",
    "podCidr": "pod_cidr",
    "publicIp": "public_ip",
    "sshHost": "ssh_host",
    "sshPort": "ssh_port",
    "hostKey": "host_key",
}
