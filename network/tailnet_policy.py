"""The tailnet's policy file for a plan: who may advertise what, and who may talk to whom.

A rented machine is hostile ground, so a tag may advertise its own region's ranges only, and GPU regions
reach the hub's nodes at the API server's port only. Sources are ranges, because gateways keep source
addresses.
"""

from __future__ import annotations

from typing import Any

from network.plan import NetworkPlan, RegionPlan

AGENT_PORT = 41642
HEADSCALE_OWNER = "tailspan@"
TAILSCALE_OWNER = "autogroup:admin"

_ANYTHING = ["*"]
# Path MTU discovery needs ICMP errors, diagnosis needs ping.
_ICMP = "icmp:*"


def tailnet_policy(plan: NetworkPlan) -> dict[str, Any]:
    """The whole policy file as data, in the form that both Tailscale and headscale read."""
    owner = HEADSCALE_OWNER if plan.tailnet_kind == "headscale" else TAILSCALE_OWNER
    return {
        "tagOwners": {region.tag: [owner] for region in plan.regions},
        "autoApprovers": {
            # A longer prefix inside an approved one is approved, too: that is how gateways share and
            # take over.
            "routes": {
                str(cidr): [region.tag]
                for region in plan.regions
                for cidr in (region.node_cidr, region.pod_cidr)
            }
        },
        "grants": _grants(plan, owner),
    }


def _grants(plan: NetworkPlan, owner: str) -> list[dict[str, Any]]:
    """
    The supernets stand for every region's ranges: who may use which address of them is decided by approved routes
    alone. So a region that is being removed keeps its connections until its last machine has left.
    """
    tags = [region.tag for region in plan.regions]
    nodes, pods, hub_nodes = str(plan.node_supernet), str(plan.pod_supernet), str(plan.hub.node_cidr)
    return [
        _grant(tags, tags, [_ICMP, f"udp:{AGENT_PORT}", f"tcp:{AGENT_PORT}"]),
        _grant([pods, nodes], [pods], _ANYTHING),
        # The control plane (kubectl logs, webhooks) and the hub's pods (metrics, DNS answers) reach all of it.
        _grant([hub_nodes, str(plan.hub.pod_cidr)], [nodes, pods], _ANYTHING),
        # Everybody else reaches the hub's nodes at the API server's port only, and other nodes not at all.
        _grant([nodes, pods], [hub_nodes], [f"tcp:{plan.api_port}", _ICMP]),
        _grant([nodes], [nodes], [_ICMP]),
        *(
            _neighbours(region)
            for region in plan.regions
            if region.mode == "per-node" and region.kind == "gpu"
        ),
        # Whoever administers the tailnet runs `pulumi up` from a device of it (access.api: tailnet).
        _grant([owner], [hub_nodes], [f"tcp:{plan.api_port}", _ICMP]),
    ]


def _neighbours(region: RegionPlan) -> dict[str, Any]:
    """
    Machines and pods of a per-node region reach its machines at every port, as on a LAN of their own: elsewhere such
    traffic never enters the tailnet. Jobs on the host's network (NCCL between machines) choose their ports as they run.
    """
    nodes = str(region.node_cidr)
    return _grant([nodes, str(region.pod_cidr)], [nodes], _ANYTHING)


def _grant(src: list[str], dst: list[str], ip: list[str]) -> dict[str, Any]:
    return {"src": src, "dst": dst, "ip": ip}
