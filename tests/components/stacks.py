"""The stacks that component tests build, each from the committed dev stack by a small edit."""

from __future__ import annotations

from typing import Any

import pytest

from config.schema import StackConfig
from tests.stacks import HOST_KEY, ROOT, STACK_FILES, ssh_region, stack, stack_data

HOSTED_TAILNET = {"kind": "tailscale", "name": "example.com", "policy": "own", "version": "1.102.3"}


def dev(*edits: tuple[str, Any]) -> StackConfig:
    return stack(*edits)


def west() -> dict[str, Any]:
    """The third region of the examples, on a routed LAN."""
    three = next(path for path in STACK_FILES if path.name == "Pulumi.three.yaml")
    region: dict[str, Any] = stack_data(three)["regions"][2]
    return region


def with_west() -> StackConfig:
    """The dev stack and a third region, not at the end of the list."""
    data = stack_data()
    data["regions"].insert(1, west())
    return StackConfig.model_validate(data)


def private_api() -> StackConfig:
    """An API server that is reached through the tailnet; SSH from two places."""
    return dev(("access.api", "tailnet"), ("access.allow", ["198.51.100.1/32", "192.0.2.0/28"]))


def shared() -> dict[str, Any]:
    """The per-node region of the examples."""
    region: dict[str, Any] = stack_data(ROOT / "examples" / "Pulumi.per-node.yaml")["regions"][-1]
    return region


def all_devices() -> StackConfig:
    """Every machine a device of the tailnet, those of the hub too; one of them was wiped once."""
    region = shared()
    region["machines"][1]["generation"] = 2
    groups = [{"name": "cpu", "count": 2, "first_ip": "10.0.0.40"}]
    return dev(
        ("regions.0.mode", "per-node"),
        ("regions.0.gateways", ...),
        ("regions.0.node_groups", groups),
        ("regions.1", region),
    )


def reordered() -> StackConfig:
    data = stack_data()
    data["regions"].reverse()
    data["regions"][0]["machines"].reverse()
    return StackConfig.model_validate(data)


def elsewhere(*edits: tuple[str, Any]) -> StackConfig:
    """
    Nothing of the lab: machines that exist already, one of them wiped once, Cilium in the GPU region, a tailnet at
    Tailscale.
    """
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
            _listed("hub-gw", "10.0.0.20", gateway=True, address="198.51.100.21", generation=2),
        ],
    }
    regions = ("regions", [hub, ssh_region(cni="cilium", lan_device="ens3")])
    return stack(regions, ("tailnet", HOSTED_TAILNET), ("access.ssh.user", "ubuntu"), *edits)


def _listed(name: str, node_ip: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "node_ip": node_ip, "host_key": HOST_KEY} | settings


def grouped(count: int = 3, *edits: tuple[str, Any]) -> StackConfig:
    """The dev stack with a node group in its cloud region."""
    return dev(("regions.0.node_groups", [{"name": "cpu", "count": count, "first_ip": "10.0.0.40"}]), *edits)


every_stack = pytest.mark.parametrize(
    "config",
    [with_west(), elsewhere(), all_devices(), grouped()],
    ids=["three regions in the lab", "ssh and Tailscale", "every machine a device", "a node group"],
)
