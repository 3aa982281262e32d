"""What GKE asks of a stack whose control plane it runs."""

from __future__ import annotations

from collections.abc import Iterator

from config.schema import CloudRegionConfig, GkeControlPlane, StackConfig
from network.gcp_machines import has_gpus
from network.managed import SMALLEST_NODE_CIDR, has_pool_gateways, managed_ranges
from network.managed_names import PULUMI_SUFFIX, name_lines

# https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters: a cluster's name is at
# most 40 characters, and that of a node pool.
LONGEST_NAME = 40
# GKE's cloud controller leaves foreign nodes alone (label components.gke.io/gke-unmanaged-node) from v35.1.2 on; an
# earlier one deletes them as soon as they register (kubernetes/cloud-provider-gcp#1081, cherry-pick #1106).
FIRST_MINOR = (1, 35)
# Pod addresses that GKE gives each node at its default of 110 pods
# (https://cloud.google.com/kubernetes-engine/docs/concepts/alias-ips).
NODE_PODS_PREFIX = 24


def gke_lines(config: StackConfig, region: CloudRegionConfig, plane: GkeControlPlane) -> Iterator[str]:
    """Every reason why GKE cannot run the control plane of this region."""
    yield from _names(region)
    yield from _access(config)
    yield from _version(config)
    yield from _pods(region, plane)


def _names(region: CloudRegionConfig) -> Iterator[str]:
    room, suffix = LONGEST_NAME - PULUMI_SUFFIX, "-gw-1" if has_pool_gateways(region) else "-gke"
    limit = f"GKE takes {LONGEST_NAME} for a cluster or a pool"
    yield from name_lines(region, room - len(suffix), limit, room, limit)


def _access(config: StackConfig) -> Iterator[str]:
    if config.access.api != "public":
        yield (
            "access.api tailnet: the operator admits the region's gateways before there is a way through them; write "
            "access.api: public (GKE answers the addresses in access.allow only)"
        )


def _version(config: StackConfig) -> Iterator[str]:
    version = config.kubernetes.version
    if tuple(int(part) for part in version.split(".")[:2]) < FIRST_MINOR:
        yield (
            f"version {version}: before 1.35 GKE's cloud controller deletes every node that is no machine of "
            "its project as soon as it registers; write kubernetes.version: 1.35.0 or later, or control_plane: "
            "{kind: kubeadm}"
        )


def _pods(region: CloudRegionConfig, plane: GkeControlPlane) -> Iterator[str]:
    if region.node_cidr.prefixlen > SMALLEST_NODE_CIDR:
        return  # said already
    room = 1 << max(NODE_PODS_PREFIX - region.pod_cidr.prefixlen - 1, 0)
    if region.pod_cidr.prefixlen >= NODE_PODS_PREFIX:
        room = 0
    zones = 3 if plane.location == "region" else 1
    nodes = zones * sum(group.count for group in region.node_groups)
    nodes += region.gateways.count if has_pool_gateways(region) else 0
    for group in region.node_groups:
        if group.machine_type and has_gpus(group.machine_type):
            yield (
                f"node group {group.name}: machine_type {group.machine_type} has GPUs, nobody would know of them in a "
                "group of GKE's nodes; list such machines in a region of kind gpu"
            )
    # Google keeps four addresses of a subnetwork, and an upgrade brings one node more for each group first.
    workers = managed_ranges(region.node_cidr, region.pod_cidr).workers
    addresses = workers.num_addresses - 4
    most = nodes + sum(1 for group in region.node_groups if group.count)
    if most > addresses:
        yield (
            f"GKE's part of node_cidr {region.node_cidr} is {workers}, {addresses} addresses, and the node groups need "
            f"{most} while they are upgraded; write a larger node_cidr, or fewer nodes"
        )
    if nodes > room:
        yield (
            f"the upper half of pod_cidr {region.pod_cidr} holds /24 ranges for {room} of GKE's nodes, the node groups "
            f"are {nodes}; write a larger pod_cidr, or fewer nodes"
        )
