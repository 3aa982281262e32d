"""The stacks that component tests build, each from the committed dev stack by a small edit."""

from __future__ import annotations

from typing import Any

from config.schema import StackConfig
from network.plan import NetworkPlan, plan_network
from tests.stacks import HOST_KEY, ssh_region, stack, stack_data

TAILSCALE = {"kind": "tailscale", "name": "example.com", "policy": "own", "version": "1.102.3"}


def dev(*edits: tuple[str, Any]) -> StackConfig:
    return stack(*edits)


def plan(config: StackConfig) -> NetworkPlan:
    return plan_network(config)


def west() -> dict[str, Any]:
    """A third region, on a routed LAN."""
    return {
        "name": "west",
        "kind": "gpu",
        "provider": {"kind": "lab", "lan": "routed"},
        "node_cidr": "10.2.0.0/24",
        "pod_cidr": "10.130.0.0/16",
        "cni": "plain",
        "gateway_firewall": [{"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}],
        "machines": [
            {"name": "west-a", "node_ip": "10.2.0.10", "gateway": True},
            {"name": "west-b", "node_ip": "10.2.0.11"},
        ],
    }


def with_region(region: dict[str, Any], position: int) -> StackConfig:
    """The dev stack and one more region, at a place of the list."""
    data = stack_data()
    data["regions"].insert(position, region)
    return StackConfig.model_validate(data)


def reordered() -> StackConfig:
    data = stack_data()
    data["regions"].reverse()
    data["regions"][0]["machines"].reverse()
    return StackConfig.model_validate(data)


def on_ssh(*edits: tuple[str, Any]) -> StackConfig:
    """No machine of this stack is made by it: the cloud region and the GPU region are listed machines."""
    hub = {
        "name": "hub",
        "kind": "cloud",
        "provider": {"kind": "ssh", "lan": "l2"},
        "control_plane": {"kind": "kubeadm", "machines": 1},
        "gateways": {"count": 1},
        "node_cidr": "10.0.0.0/24",
        "pod_cidr": "10.128.0.0/16",
        "cni": "plain",
        "machines": [
            _listed("hub-cp", "10.0.0.10", control_plane=True, address="198.51.100.20"),
            _listed("hub-gw", "10.0.0.20", gateway=True, address="198.51.100.21"),
        ],
    }
    return stack(("regions", [hub, ssh_region()]), ("access.ssh.user", "ubuntu"), *edits)


def _listed(name: str, node_ip: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "node_ip": node_ip, "host_key": HOST_KEY} | settings
