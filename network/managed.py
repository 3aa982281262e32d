"""A cloud region whose control plane a cloud runs: how its ranges are shared with the cloud's own nodes.

The cloud hands out addresses as it likes, the plan gives each machine its own: both in one range would collide. The
lower half of node_cidr and pod_cidr stays the plan's. All parts lie inside the region's ranges, so gateways advertise
them, and other regions reach the API server, at its private address, like any machine of the region.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

from config.schema import CloudRegionConfig, RegionConfig

ControlPlaneKind = Literal["kubeadm", "gke", "eks"]

KUBEADM_API_PORT, MANAGED_API_PORT = 6443, 443
# Tenth Service address as everywhere; where the cloud's own DNS has that one, the next.
DNS_HOST, SECOND_DNS_HOST = 10, 11
# Label and taint of a gateway's node that a cloud made; the value is the gateway's name in the plan. GKE is not known
# to take labels under node-restriction.kubernetes.io/ (AkihiroSuda/instance-per-pod#1), so the API server is told who
# may have this one (components/pool_gateways.py).
GATEWAY_LABEL = "tailspan.dev/gateway"
# GKE's own length for the subnetwork of a private endpoint; EKS wants six free addresses in each of two.
ENDPOINT_PREFIX = 28
# The last quarter of node_cidr holds the endpoints: two /28 of it.
SMALLEST_NODE_CIDR = 25
# RFC 1918.
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


@dataclass(frozen=True, kw_only=True)
class ManagedRanges:
    """The parts of a cloud region's two ranges."""

    # Machines of the plan: gateways.
    machines: IPv4Network
    machine_pods: IPv4Network
    # Nodes that the cloud makes, and their pods.
    workers: IPv4Network
    worker_pods: IPv4Network
    # Where the API server is reached, in one subnetwork or two.
    endpoints: tuple[IPv4Network, IPv4Network]

    @property
    def endpoint(self) -> IPv4Network:
        """The only one, where one is enough: the last /28."""
        return self.endpoints[1]


def managed_ranges(node_cidr: IPv4Network, pod_cidr: IPv4Network) -> ManagedRanges:
    """Halves of both ranges, and of the upper node half a quarter for nodes and the end for endpoints."""
    machines, upper = node_cidr.subnets(1)
    workers, last = upper.subnets(1)
    machine_pods, worker_pods = pod_cidr.subnets(1)
    first = IPv4Network(
        (int(last.broadcast_address) + 1 - 2 * (1 << (32 - ENDPOINT_PREFIX)), ENDPOINT_PREFIX)
    )
    second = IPv4Network((int(last.broadcast_address) + 1 - (1 << (32 - ENDPOINT_PREFIX)), ENDPOINT_PREFIX))
    return ManagedRanges(
        machines=machines,
        machine_pods=machine_pods,
        workers=workers,
        worker_pods=worker_pods,
        endpoints=(first, second),
    )


def control_plane_kind(region: RegionConfig) -> ControlPlaneKind:
    """Who runs the control plane; asked of the cloud region."""
    return region.control_plane.kind if isinstance(region, CloudRegionConfig) else "kubeadm"


def is_managed(region: RegionConfig) -> bool:
    """Whether a cloud runs this region's control plane."""
    return isinstance(region, CloudRegionConfig) and region.control_plane.managed


def has_pool_gateways(region: RegionConfig) -> bool:
    """Whether the cloud makes the region's gateways in node pools of its cluster."""
    return isinstance(region, CloudRegionConfig) and region.gateways.shape == "node-pool"


def ranges_of(region: RegionConfig) -> ManagedRanges | None:
    """The parts of a region's ranges; None where all of them are the plan's."""
    return managed_ranges(region.node_cidr, region.pod_cidr) if is_managed(region) else None
