"""Stacks whose control plane a cloud runs."""

from __future__ import annotations

from typing import Any

from config.schema import StackConfig
from tests.stacks import put, ssh_region, stack_data

OPERATOR_KEY = "ssh-ed25519 " + "A" * 68
TAILNET = {"kind": "tailscale", "name": "example.com", "policy": "own", "version": "1.102.3"}
GKE = {"kind": "gke", "release_channel": "REGULAR"}
EKS = {"kind": "eks", "second_zone": "us-east-1b"}
GCP = {"kind": "gcp", "project": "acme-ml", "region": "us-central1", "zone": "us-central1-a"}
AWS = {"kind": "aws", "region": "us-east-1", "zone": "us-east-1a", "ami": "ami-0123456789abcdef0"}


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
    return StackConfig.model_validate(data(EKS, AWS, ("access.api", "tailnet"), *edits))
