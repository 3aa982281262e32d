"""Stacks on Google Cloud for tests: the committed example, and small edits of it."""

from __future__ import annotations

from typing import Any

from config.schema import StackConfig
from tests.components.recording import Recording, Resource
from tests.stacks import ROOT, put, stack_data

EXAMPLE = ROOT / "examples" / "Pulumi.gcp-kubeadm.yaml"
PLACE = {"kind": "gcp", "project": "acme-ml", "region": "europe-west4", "zone": "europe-west4-b"}


def example(*edits: tuple[str, Any]) -> StackConfig:
    data = stack_data(EXAMPLE)
    for path, value in edits:
        put(data, path, value)
    return StackConfig.model_validate(data)


def rented(**changes: Any) -> dict[str, Any]:
    """A GPU region of machines that Google Cloud makes."""
    return {
        "name": "eu",
        "kind": "gpu",
        "provider": PLACE,
        "node_cidr": "10.2.0.0/24",
        "pod_cidr": "10.130.0.0/16",
        "cni": "plain",
        "gateway_firewall": [{"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}],
        "machines": [
            {"name": "eu-a", "node_ip": "10.2.0.10", "gateway": True, "machine_type": "e2-standard-4"},
            {"name": "eu-b", "node_ip": "10.2.0.11", "gpu": {"type": "H100", "count": 8, "usd_per_hour": 9}},
            {"name": "eu-c", "node_ip": "10.2.0.12", "gpu": {"type": "T4", "count": 1, "usd_per_hour": 1}},
        ],
    } | changes


def two_clouds(*edits: tuple[str, Any]) -> StackConfig:
    """The example with its GPUs at Google Cloud, too."""
    return example(("regions.2", rented()), *edits)


def instances(recording: Recording) -> dict[str, Resource]:
    return recording.of("compute/instance:Instance")


def firewalls(recording: Recording, region: str) -> dict[str, Resource]:
    """The firewall rules of one region's network."""
    network = f"{region}-network-id"
    found = recording.of("compute/firewall:Firewall")
    return {name: item for name, item in found.items() if item.inputs["network"] == network}


def public(instance: Resource) -> bool:
    return any(each.get("accessConfigs") for each in instance.inputs["networkInterfaces"])
