"""Control planes that a cloud runs: what one needs of a region's network, and what it gives to the stack.

A region's provider makes the network, so it offers `cloud_network`; the modules of the two clouds (gcp_gke, aws_eks)
are imported only where a stack has such a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, Protocol, runtime_checkable

import pulumi
import yaml

from config.schema import EksControlPlane, GkeControlPlane
from providers.base import RegionProvider, Site


@dataclass(frozen=True, kw_only=True)
class CloudNetwork:
    """A region's network as its provider made it, for resources that come after it."""

    account: pulumi.ProviderResource
    # The VPC: GCP's self link, AWS's id.
    network: pulumi.Output[str]
    # AWS: every new subnet needs a route table, and remote ranges are routed in all of them.
    route_table: pulumi.Output[str] | None = None
    # What must be there before a machine can reach the internet.
    way_out: Sequence[pulumi.Resource] = ()
    # GCP: sends what is for other regions to these instance groups, where gateways are a cluster's nodes.
    lead: Callable[[Sequence[pulumi.Output[str]]], None] | None = None


@runtime_checkable
class HasNetwork(Protocol):
    """A region provider in whose network a cloud can run a control plane."""

    def cloud_network(self) -> CloudNetwork:
        """The region's network."""


@dataclass(frozen=True, kw_only=True)
class ManagedArgs:
    """What a cluster is told beside its region: its version, its name, and who may reach it."""

    version: str
    # The stack's name for its cluster (kubernetes.endpoint); no DNS knows it here.
    endpoint: str
    allow: Sequence[IPv4Network]


@dataclass(frozen=True, kw_only=True)
class HybridNodes:
    """By what a machine outside AWS becomes a node of an EKS cluster: its certificate (eks_pki) and who trusts it."""

    cluster: str
    region: str
    anchor: pulumi.Output[str]
    profile: pulumi.Output[str]
    role: pulumi.Output[str]
    # What certificates are made from, a secret.
    seed: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class ManagedCluster:
    """A control plane that runs; the kubeconfig holds no credential, it names the program that gets one."""

    # The API server's URL as the machines of all regions reach it.
    server: pulumi.Output[str]
    # PEM.
    ca: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    # The cloud's own nodes: without one of them its system pods run nowhere.
    nodes: tuple[pulumi.Resource, ...]
    # EKS: machines log in to IAM, and need neither a token nor a request for a certificate.
    hybrid: HybridNodes | None = None


ClusterMaker = Callable[[RegionProvider, pulumi.ResourceOptions], ManagedCluster]


def cluster_maker(site: Site, args: ManagedArgs) -> ClusterMaker | None:
    """How the region's control plane is made; None where it is a machine of the stack."""
    plane = getattr(site.config, "control_plane", None)

    def network(place: RegionProvider) -> CloudNetwork:
        if not isinstance(place, HasNetwork):
            raise TypeError(
                f"region {site.plan.name}: {type(place).__name__} offers no network for a cluster"
            )
        return place.cloud_network()

    if isinstance(plane, GkeControlPlane):

        def gke(place: RegionProvider, opts: pulumi.ResourceOptions) -> ManagedCluster:
            from providers.gcp_gke import gke_cluster

            return gke_cluster(site, plane, network(place), args, opts)

        return gke
    if isinstance(plane, EksControlPlane):

        def eks(place: RegionProvider, opts: pulumi.ResourceOptions) -> ManagedCluster:
            from providers.aws_eks import eks_cluster

            return eks_cluster(site, plane, network(place), args, opts)

        return eks
    return None


def exec_kubeconfig(server: str, ca: str, login: dict[str, Any]) -> str:
    """
    A kubeconfig whose user runs a program to log in (Kubernetes: client-go credential plugins); `ca` is base64 of a
    PEM, as both clouds give it.
    """
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "tailspan", "cluster": {"server": server, "certificate-authority-data": ca}}
            ],
            "users": [
                {
                    "name": "operator",
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "interactiveMode": "Never",
                            **login,
                        }
                    },
                }
            ],
            "contexts": [{"name": "tailspan", "context": {"cluster": "tailspan", "user": "operator"}}],
            "current-context": "tailspan",
        },
        sort_keys=True,
    )
