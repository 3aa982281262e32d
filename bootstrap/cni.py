"""The pod network of a region: `plain` is a bridge per machine, `cilium` comes as the values of its chart."""

from __future__ import annotations

import json
from typing import Any

from network.plan import NetworkPlan, NodePlan, RegionPlan

CILIUM_VERSION = "1.18.4"


def plain_conflist(node: NodePlan) -> str:
    """Bridge and host-local; no masquerade, because a pod in another region must see this pod's address."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "isDefaultGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": str(node.pod_cidr)}]]},
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    conflist = {"cniVersion": "1.0.0", "name": "tailspan", "plugins": [bridge, portmap]}
    return json.dumps(conflist, indent=2) + "\n"


def cilium_values(region: RegionPlan, plan: NetworkPlan, device: str) -> dict[str, Any]:
    """
    Values of the chart cilium/cilium: native routing everywhere, no overlay inside the tunnel. `devices` and `MTU`
    are explicit: left alone, Cilium takes tailscale0 within seconds and gives every pod its MTU of 1280.

    >>> cilium_values(region, plan, "eth0")["routingMode"]
    'native'
    """
    return {
        "routingMode": "native",
        "ipv4NativeRoutingCIDR": str(plan.pod_supernet),
        "autoDirectNodeRoutes": region.reach == "lan",
        # Nodes of other regions are not on this LAN: their routes come from the gateways.
        "directRoutingSkipUnreachable": True,
        "devices": device,
        "MTU": 1500,
        "ipam": {"mode": "kubernetes"},
        "enableIPv4Masquerade": True,
        "bpf": {"masquerade": False},
        "kubeProxyReplacement": False,
        "nodeSelector": {"topology.kubernetes.io/region": region.name},
        "k8s": {"requireIPv4PodCIDR": True},
        "cni": {"exclusive": True},
        "hubble": {"enabled": True, "relay": {"enabled": False}, "ui": {"enabled": False}},
    }
