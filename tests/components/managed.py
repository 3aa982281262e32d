"""Stacks whose control plane a cloud runs, on a network of no cloud in particular."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi
import pytest

from config.schema import FirewallRule, StackConfig
from network.nodes import Role
from network.plan import NodePlan
from providers.base import Login, Machine, MachineGroup, RegionProvider, Site
from providers.managed import CloudNetwork
from tests.components.deploy import deploy
from tests.components.recording import Recording
from tests.stacks import put, ssh_region, stack_data

OPERATOR_KEY = "ssh-ed25519 " + "A" * 68
TAILNET = {"kind": "tailscale", "name": "example.com", "policy": "own", "version": "1.102.3"}
GKE = {"kind": "gke", "release_channel": "REGULAR"}
EKS = {"kind": "eks", "second_zone": "us-east-1b"}
GCP = {"kind": "gcp", "project": "acme-ml", "region": "us-central1", "zone": "us-central1-a"}
AWS = {"kind": "aws", "region": "us-east-1", "zone": "us-east-1a"}


def data(plane: dict[str, Any], provider: dict[str, Any], *edits: tuple[str, Any]) -> dict[str, Any]:
    """A hub with two gateways and one node group, and a rack that joins it."""
    hub = {
        "name": "hub",
        "kind": "cloud",
        "provider": provider,
        "control_plane": plane,
        "node_cidr": "10.0.0.0/22",
        "pod_cidr": "10.128.0.0/14",
        "cni": "plain",
        "gateways": {"count": 2},
        "node_groups": [{"name": "cpu", "count": 2, "machine_type": "big-4"}],
        "gateway_firewall": [{"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}],
    }
    rack = ssh_region(
        pod_cidr="10.135.0.0/16",
        gateway_firewall=[{"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}],
    )
    whole = stack_data()
    put(whole, "kubernetes.version", "1.35.2")
    put(whole, "regions", [hub, rack])
    put(whole, "tailnet", TAILNET)
    put(whole, "access.ssh", {"user": "ubuntu", "authorized_keys": [OPERATOR_KEY]})
    for path, value in edits:
        put(whole, path, value)
    return whole


def gke(*edits: tuple[str, Any]) -> StackConfig:
    return StackConfig.model_validate(data(GKE, GCP, *edits))


def eks(*edits: tuple[str, Any]) -> StackConfig:
    return StackConfig.model_validate(data(EKS, AWS, *edits))


class _Account(pulumi.ProviderResource):
    def __init__(self, kind: str) -> None:
        super().__init__(kind, "cloud", {})


class Vpc:
    """A network that is there, with machines that are only their logins."""

    def __init__(self, site: Site, account: pulumi.ProviderResource) -> None:
        self._site, self._account = site, account
        self.routed: list[str] = []

    def cloud_network(self) -> CloudNetwork:
        return CloudNetwork(
            account=self._account,
            network=pulumi.Output.from_input("the-vpc"),
            route_table=pulumi.Output.from_input("the-table"),
        )

    def firewall(
        self, role: Role, ingress: Sequence[FirewallRule], opts: pulumi.ResourceOptions
    ) -> pulumi.Resource | None:
        return None

    def machine(self, node: NodePlan, opts: pulumi.ResourceOptions) -> Machine:
        return Machine(
            name=node.name,
            login=Login(
                host=pulumi.Output.from_input("203.0.113.9"), port=22, user="ubuntu", host_key=OPERATOR_KEY
            ),
            public_address=pulumi.Output.from_input("203.0.113.9"),
            provider_id=f"vpc://{node.region}/{node.name}",
        )

    def machine_group(
        self, name: str, nodes: Sequence[NodePlan], opts: pulumi.ResourceOptions
    ) -> MachineGroup:
        raise AssertionError("a cloud's node groups are its own")

    def route_remote(self, gateways: Sequence[Machine], opts: pulumi.ResourceOptions) -> None:
        self.routed = [machine.name for machine in gateways]


def deployed(config: StackConfig, monkeypatch: pytest.MonkeyPatch, *, preview: bool = False) -> Recording:
    """The stack on such a network; what is not in it comes from its own provider."""
    from providers import provider_factory

    def factory() -> Any:
        real = provider_factory()
        accounts: dict[str, _Account] = {}

        def place(site: Site, opts: pulumi.ResourceOptions) -> RegionProvider:
            kind = site.config.provider.kind
            if kind not in ("gcp", "aws"):
                return real(site, opts)
            return Vpc(site, accounts.setdefault(kind, _Account(kind)))

        return place

    monkeypatch.setattr("stack.provider_factory", factory)
    return deploy(config, preview=preview)
