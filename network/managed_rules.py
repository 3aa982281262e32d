"""Rules about control planes that a cloud runs: what both clouds ask of a region, and then each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from config.schema import CloudRegionConfig, EksControlPlane, GkeControlPlane, StackConfig
from network.eks_rules import eks_lines
from network.gke_rules import gke_lines
from network.managed import PRIVATE, SMALLEST_NODE_CIDR, is_managed, managed_ranges
from network.nodes import NodeDraft

# Where each kind of control plane runs.
HOME = {"gke": "gcp", "eks": "aws"}


def managed_problems(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    """Every reason why a cloud cannot run this control plane; and what a kubeadm one needs instead."""
    for region in config.regions:
        if not isinstance(region, CloudRegionConfig):
            continue
        if not is_managed(region):
            yield from _planned_groups(region)
            continue
        where, kind = f"region {region.name}", region.control_plane.kind
        lines = [*_place(region), *_shape(region), *_ranges(config, region), *_machines(region, drafts)]
        if isinstance(region.control_plane, GkeControlPlane):
            lines += gke_lines(config, region, region.control_plane)
        elif isinstance(region.control_plane, EksControlPlane):
            lines += eks_lines(config, region, region.control_plane)
        yield from (f"{where}: control_plane {kind}: {line}" for line in lines)


def _planned_groups(region: CloudRegionConfig) -> Iterator[str]:
    if region.provider.kind == "ssh":
        return
    for number, group in enumerate(region.node_groups):
        if group.first_ip is None:
            yield (
                f"region {region.name}: node_groups[{number}].first_ip is missing; write the node IP of the group's "
                "first machine, for example first_ip: 10.0.0.40"
            )


def _place(region: CloudRegionConfig) -> Iterator[str]:
    home = HOME[region.control_plane.kind]
    if region.provider.kind != home:
        yield f"runs on {home} only, the provider is {region.provider.kind}; write control_plane: {{kind: kubeadm}}"


def _shape(region: CloudRegionConfig) -> Iterator[str]:
    if region.mode != "gateway":
        yield (
            "mode: per-node would make every machine a device of the tailnet, the cloud's own nodes cannot be one; "
            "write mode: gateway"
        )
    if region.cni != "plain":
        yield (
            f"cni {region.cni} in the cloud region, where nodes have the cloud's own CNI; write cni: plain for it "
            "(other regions may have cilium)"
        )
    if not any(group.count for group in region.node_groups):
        yield (
            "no node group has a machine, but the cloud's own pods (DNS, the API server's way to the kubelets) need "
            "one; write node_groups: [{name: cpu, count: 2, machine_type: ...}]"
        )
    for group in region.node_groups:
        if group.first_ip is not None:
            yield (
                f"node group {group.name} has first_ip {group.first_ip}, but the cloud hands out its addresses; "
                "remove first_ip"
            )


def _ranges(config: StackConfig, region: CloudRegionConfig) -> Iterator[str]:
    if region.node_cidr.prefixlen > SMALLEST_NODE_CIDR:
        yield (
            f"node_cidr {region.node_cidr} has no room for machines, the cloud's nodes and the endpoint; write a "
            f"/{SMALLEST_NODE_CIDR} or larger"
        )
    # Packets to other addresses leave the cloud's nodes with the node's address in place of the pod's, and EKS
    # refuses other ranges of remote nodes.
    ranges = {
        f"region {item.name}: {field}": getattr(item, field)
        for item in config.regions
        for field in ("node_cidr", "pod_cidr")
    }
    for name, cidr in ranges.items():
        if not any(cidr.subnet_of(private) for private in PRIVATE):
            yield f"{name} {cidr} is no private range (RFC 1918); write one inside 10.0.0.0/8"


def _machines(region: CloudRegionConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    """The upper halves are the cloud's; a node IP in the lower one has its pods in the lower one or nowhere."""
    if region.node_cidr.prefixlen > SMALLEST_NODE_CIDR:
        return
    parts = managed_ranges(region.node_cidr, region.pod_cidr)
    for draft in drafts:
        if (
            draft.region is region
            and draft.node_ip in region.node_cidr
            and draft.node_ip not in parts.machines
        ):
            yield (
                f"machine {draft.name}: node IP {draft.node_ip} lies in the upper half of node_cidr "
                f"{region.node_cidr}, which is the cloud's; write {draft.field}: an address in {parts.machines}"
            )
