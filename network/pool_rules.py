"""Rules about gateways that a cloud makes in node pools of its cluster (docs/clouds/gke.md, "Which shape")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from config.schema import CloudRegionConfig, GcpProvider, StackConfig
from network.managed import has_pool_gateways
from network.nodes import NodeDraft

# What the names of GKE's nodes begin with, and of no other machine: by it the API server tells apart who may say of
# itself that it is a gateway (components/pool_gateways.py).
GKE_NODE = "gke-"


def pool_problems(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    """Every reason why a region's gateways cannot be a node pool."""
    for region in config.regions:
        if isinstance(region, CloudRegionConfig) and has_pool_gateways(region):
            yield from (f"region {region.name}: {line}" for line in _region(region))
            for draft in drafts:
                if draft.name.startswith(GKE_NODE):
                    yield (
                        f"{draft}: the name begins with {GKE_NODE}, as only GKE's own nodes' may where one of them is "
                        "the gateway (gateways.shape: node-pool); write another name, or shape: vm"
                    )


def _region(region: CloudRegionConfig) -> Iterator[str]:
    kind, gateways = region.control_plane.kind, region.gateways
    if kind != "gke":
        yield (
            f"gateways.shape node-pool with control_plane {kind}, which makes no node pools for it; write shape: vm, "
            "or control_plane: {kind: gke}"
        )
        return
    if gateways.count > 1:
        yield (
            f"gateways.shape node-pool with count: {gateways.count}, but it takes one gateway: GKE chooses its "
            "address, and gateways find each other by planned ones; write shape: vm for more, or count: 1"
        )
    if gateways.first_ip is not None:
        yield (
            f"gateways.first_ip {gateways.first_ip} with shape node-pool, but GKE hands out the address; remove "
            "first_ip, or write shape: vm"
        )
    if isinstance(region.provider, GcpProvider) and region.provider.routes == "instance":
        yield (
            "gateways.shape node-pool with provider.routes instance, but a route to one machine ends when GKE replaces "
            "it; write routes: load-balancer, or shape: vm"
        )
