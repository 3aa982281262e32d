"""The rig's stack: a configuration as a user would write it, so that every address and rule comes from the product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from config.schema import StackConfig
from lab.headscale import URL
from lab.specs import Lan
from network.plan import NetworkPlan, plan_network

ENDPOINT = "api.rig.tailspan.internal"
_GATEWAY_HOST, _NODE_HOST = 20, 40
_TUNNEL_PORT = {"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How large the rig is: the first region is the hub, the others are GPU regions."""

    regions: tuple[str, ...] = ("hub", "gpu")
    gateways: int = 2
    nodes: int = 2
    lan: Lan = "l2"


def plan_of(shape: Shape) -> NetworkPlan:
    return plan_network(StackConfig.model_validate(stack(shape)))


def stack(shape: Shape) -> dict[str, Any]:
    """What would stand in `tailspan:stack`."""
    return {
        "kubernetes": {"version": "1.33.1", "endpoint": ENDPOINT},
        "access": {"api": "tailnet", "ssh": {"user": "root"}},
        "tailnet": {
            "kind": "headscale",
            "url": URL,
            "policy": "own",
            "version": "1.102.3",
            "max_devices": 100,
        },
        "regions": [
            _hub(shape, name) if number == 0 else _gpu_region(shape, name, number)
            for number, name in enumerate(shape.regions)
        ],
    }


def _region(shape: Shape, name: str, number: int) -> dict[str, Any]:
    return {
        "name": name,
        "provider": {"kind": "lab", "lan": shape.lan},
        "node_cidr": f"10.{number}.0.0/24",
        "pod_cidr": f"10.{128 + number}.0.0/16",
        "cni": "plain",
        "gateway_firewall": [_TUNNEL_PORT],
    }


def _hub(shape: Shape, name: str) -> dict[str, Any]:
    # The control plane's machine (host 10) is one of the nodes; no API server runs on it.
    group = {"name": "cpu", "machine_type": "small", "count": shape.nodes - 1, "first_ip": "10.0.0.41"}
    return _region(shape, name, 0) | {
        "kind": "cloud",
        "control_plane": {"kind": "kubeadm", "machines": 1},
        "gateways": {"count": shape.gateways},
        "node_groups": [group] if shape.nodes > 1 else [],
    }


def _gpu_region(shape: Shape, name: str, number: int) -> dict[str, Any]:
    gateways = [
        {"name": f"{name}-gw-{n + 1}", "node_ip": f"10.{number}.0.{_GATEWAY_HOST + n}", "gateway": True}
        for n in range(shape.gateways)
    ]
    nodes = [
        {"name": f"{name}-{n + 1}", "node_ip": f"10.{number}.0.{_NODE_HOST + n}"} for n in range(shape.nodes)
    ]
    return _region(shape, name, number) | {"kind": "gpu", "machines": gateways + nodes}
