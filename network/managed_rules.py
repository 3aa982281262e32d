"""Rules about control planes that a cloud runs: what GKE and EKS ask of versions, ranges and CNIs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network

from config.schema import AwsProvider, CloudRegionConfig, EksControlPlane, GkeControlPlane, StackConfig
from network.aws_machines import has_accelerators
from network.gcp_machines import has_gpus
from network.managed import SMALLEST_NODE_CIDR, has_pool_gateways, is_managed, managed_ranges
from network.nodes import NodeDraft

# https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters: the name is at most 40
# characters, and that of a node pool; Pulumi makes the last 8.
GKE_NAME, PULUMI_SUFFIX = 40, 8
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html and
# https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateNodegroup.html.
IAM_ROLE, EKS_GROUP = 64, 63
# GKE's cloud controller leaves foreign nodes alone (label components.gke.io/gke-unmanaged-node) from v35.1.2 on; an
# earlier one deletes them as soon as they register (kubernetes/cloud-provider-gcp#1081, cherry-pick #1106).
GKE_MINOR = (1, 35)
# https://docs.aws.amazon.com/eks/latest/userguide/hybrid-nodes-prereqs.html and -networking.html: 15 ranges of
# nodes and 15 of pods.
MOST_REMOTE_RANGES = 15
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
# Where each kind of control plane runs.
HOME = {"gke": "gcp", "eks": "aws"}
# Pod addresses that GKE gives each node at its default of 110 pods
# (https://cloud.google.com/kubernetes-engine/docs/concepts/alias-ips).
GKE_NODE_PODS = 24


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
            lines += [*_gke_names(region), *_gke_access(config), *_gke_version(config), *_gke_pods(region)]
        elif isinstance(region.control_plane, EksControlPlane):
            lines += [
                *_eks_access(config),
                *_eks_vpc(region),
                *_eks_names(region),
                *_eks_ranges(region),
                *_eks_machines(region),
                *_eks_zones(region, region.control_plane),
                *_eks_remote(config),
            ]
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


def _names(
    region: CloudRegionConfig, longest: int, limit: str, longest_group: int, group_limit: str
) -> Iterator[str]:
    """The cloud's names are made of the region's and of the groups', and a few characters are added to them."""
    if len(region.name) > longest:
        yield (
            f"the region's name has {len(region.name)} characters, and {limit}, of which some are added; write a "
            f"name of at most {longest} characters"
        )
    for group in region.node_groups:
        whole = f"{region.name}-{group.name}"
        if len(whole) > longest_group:
            yield (
                f"node group {group.name}: {whole} has {len(whole)} characters, and {group_limit}, of which some are "
                f"added; write names of at most {longest_group} characters together"
            )


def _gke_names(region: CloudRegionConfig) -> Iterator[str]:
    room, suffix = GKE_NAME - PULUMI_SUFFIX, "-gw-1" if has_pool_gateways(region) else "-gke"
    limit = f"GKE takes {GKE_NAME} for a cluster or a pool"
    yield from _names(region, room - len(suffix), limit, room, limit)


def _eks_names(region: CloudRegionConfig) -> Iterator[str]:
    yield from _names(
        region,
        IAM_ROLE - PULUMI_SUFFIX - len("-eks-workers-role"),
        f"IAM takes {IAM_ROLE} for a role",
        EKS_GROUP - PULUMI_SUFFIX,
        f"EKS takes {EKS_GROUP} for a node group",
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


def _gke_version(config: StackConfig) -> Iterator[str]:
    version = config.kubernetes.version
    if tuple(int(part) for part in version.split(".")[:2]) < GKE_MINOR:
        yield (
            f"version {version}: before 1.35 GKE's cloud controller deletes every node that is no machine of "
            "its project as soon as it registers; write kubernetes.version: 1.35.0 or later, or control_plane: "
            "{kind: kubeadm}"
        )


def _gke_pods(region: CloudRegionConfig) -> Iterator[str]:
    if region.node_cidr.prefixlen > SMALLEST_NODE_CIDR:
        return  # said already
    room = 1 << max(GKE_NODE_PODS - region.pod_cidr.prefixlen - 1, 0)
    if region.pod_cidr.prefixlen >= GKE_NODE_PODS:
        room = 0
    zones = (
        3
        if isinstance(region.control_plane, GkeControlPlane) and region.control_plane.location == "region"
        else 1
    )
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


def _gke_access(config: StackConfig) -> Iterator[str]:
    if config.access.api != "public":
        yield (
            "access.api tailnet: the operator admits the region's gateways before there is a way through them; write "
            "access.api: public (GKE answers the addresses in access.allow only)"
        )


def _eks_vpc(region: CloudRegionConfig) -> Iterator[str]:
    if isinstance(region.provider, AwsProvider) and region.provider.vpc is not None:
        yield (
            "beside an existing VPC's subnet there is no range known for EKS; remove provider.vpc, so that a VPC is "
            "made, or write control_plane: {kind: kubeadm}"
        )


def _eks_ranges(region: CloudRegionConfig) -> Iterator[str]:
    """Pods' addresses become a further range of the VPC, and Amazon mixes no private blocks in one."""
    home = next((block for block in PRIVATE if region.node_cidr.subnet_of(block)), None)
    if home and not region.pod_cidr.subnet_of(home):
        yield (
            f"pod_cidr {region.pod_cidr} is not in {home} as node_cidr is, and a VPC has ranges of one private block "
            f"only; write a pod_cidr in {home}"
        )


def _eks_machines(region: CloudRegionConfig) -> Iterator[str]:
    for group in region.node_groups:
        if group.machine_type and has_accelerators(group.machine_type):
            yield (
                f"node group {group.name}: machine_type {group.machine_type} has accelerators, nobody would know of "
                "them in a group of EKS's nodes; list such machines in a region of kind gpu"
            )


def _eks_zones(region: CloudRegionConfig, plane: EksControlPlane) -> Iterator[str]:
    zone, home = getattr(region.provider, "zone", ""), getattr(region.provider, "region", "")
    if plane.second_zone == zone or not plane.second_zone.startswith(home):
        yield (
            f"second_zone {plane.second_zone} with zone {zone}; write another availability zone of {home}, for "
            f"example {home}{'b' if zone.endswith('a') else 'a'}"
        )


def _eks_access(config: StackConfig) -> Iterator[str]:
    if config.access.api == "public":
        yield (
            "access.api public: machines elsewhere would reach a public endpoint from public addresses that nobody "
            "knows here; write access.api: tailnet (the private endpoint, through the gateways)"
        )


def _eks_remote(config: StackConfig) -> Iterator[str]:
    remote = [region for region in config.regions if region.kind == "gpu"]
    if len(remote) > MOST_REMOTE_RANGES:
        yield (
            f"{len(remote)} other regions, and EKS knows {MOST_REMOTE_RANGES} ranges of remote nodes at most; write "
            "fewer regions, or control_plane: {kind: kubeadm}"
        )
    for region in remote:
        if region.mode == "per-node":
            yield (
                f"region {region.name} has mode: per-node, whose packet filter is not proven beside nodeadm's kubelet; "
                "write mode: gateway"
            )
