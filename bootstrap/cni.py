"""The pod network of a region: `plain` is a bridge per machine, `cilium` comes as the values of its chart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from network.plan import NetworkPlan, NodePlan, RegionPlan

CILIUM_VERSION = "1.18.4"
CILIUM_REPOSITORY = "https://helm.cilium.io"
# Set by the operator on every node: which pod network its region has.
CNI_LABEL = "tailspan.dev/cni"


def plain_conflist(node: NodePlan, region: RegionPlan, plan: NetworkPlan) -> str:
    """
    Bridge and host-local; no masquerade, because a pod in another region must see this pod's address. Where every other
    machine is behind the tunnel, pods have its MTU from the start and need not be told by ICMP.
    """
    bridge: dict[str, Any] = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "isDefaultGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": str(node.pod_cidr)}]]},
    }
    if region.mode == "per-node":
        bridge["mtu"] = plan.mtu
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    conflist = {"cniVersion": "1.0.0", "name": "tailspan", "plugins": [bridge, portmap]}
    return json.dumps(conflist, indent=2) + "\n"


def cilium_values(regions: Sequence[RegionPlan], plan: NetworkPlan) -> dict[str, Any]:
    """
    Values of the chart cilium/cilium for the regions that use it: native routing everywhere, no overlay inside the
    tunnel. `devices` and `MTU` are explicit: left alone, Cilium takes tailscale0 within seconds and gives every pod
    its MTU of 1280.
    """
    return {
        "routingMode": "native",
        # One CIDR for all regions: pods outside it would be masqueraded.
        "ipv4NativeRoutingCIDR": str(plan.pod_supernet),
        "autoDirectNodeRoutes": all(region.reach == "lan" for region in regions),
        # Nodes of other regions are not on this LAN: their routes come from the gateways.
        "directRoutingSkipUnreachable": True,
        "devices": " ".join(sorted({region.lan_device for region in regions})),
        "MTU": min(region.lan_mtu for region in regions),
        "ipam": {"mode": "kubernetes"},
        "k8s": {"requireIPv4PodCIDR": True},
        "enableIPv4Masquerade": True,
        "bpf": {"masquerade": False},
        "kubeProxyReplacement": False,
        # Gateways run tailscaled >= 1.98, which breaks Cilium's L7 proxy on its host (cilium/cilium#48706).
        "l7Proxy": False,
        "nodeSelector": {CNI_LABEL: "cilium"},
        "operator": {"replicas": 1, "nodeSelector": {CNI_LABEL: "cilium"}},
        "envoy": {"enabled": False},
        "hubble": {"enabled": True, "relay": {"enabled": False}, "ui": {"enabled": False}},
    }
