"""What EKS asks of a stack whose control plane it runs."""

from __future__ import annotations

from collections.abc import Iterator

from config.schema import AwsProvider, CloudRegionConfig, EksControlPlane, StackConfig
from network.aws_machines import has_accelerators
from network.managed import PRIVATE
from network.managed_names import PULUMI_SUFFIX, name_lines

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html and
# https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateNodegroup.html.
LONGEST_ROLE, LONGEST_GROUP = 64, 63
# https://docs.aws.amazon.com/eks/latest/userguide/hybrid-nodes-prereqs.html and -networking.html: 15 ranges of
# nodes and 15 of pods.
MOST_REMOTE_RANGES = 15


def eks_lines(config: StackConfig, region: CloudRegionConfig, plane: EksControlPlane) -> Iterator[str]:
    """Every reason why EKS cannot run the control plane of this region."""
    yield from _access(config)
    yield from _vpc(region)
    yield from _names(region)
    yield from _ranges(region)
    yield from _machines(region)
    yield from _zones(region, plane)
    yield from _remote(config)


def _access(config: StackConfig) -> Iterator[str]:
    if config.access.api == "public":
        yield (
            "access.api public: machines elsewhere would reach a public endpoint from public addresses that nobody "
            "knows here; write access.api: tailnet (the private endpoint, through the gateways)"
        )


def _vpc(region: CloudRegionConfig) -> Iterator[str]:
    if isinstance(region.provider, AwsProvider) and region.provider.vpc is not None:
        yield (
            "beside an existing VPC's subnet there is no range known for EKS; remove provider.vpc, so that a VPC is "
            "made, or write control_plane: {kind: kubeadm}"
        )


def _names(region: CloudRegionConfig) -> Iterator[str]:
    yield from name_lines(
        region,
        LONGEST_ROLE - PULUMI_SUFFIX - len("-eks-workers-role"),
        f"IAM takes {LONGEST_ROLE} for a role",
        LONGEST_GROUP - PULUMI_SUFFIX,
        f"EKS takes {LONGEST_GROUP} for a node group",
    )


def _ranges(region: CloudRegionConfig) -> Iterator[str]:
    """Pods' addresses become a further range of the VPC, and Amazon mixes no private blocks in one."""
    home = next((block for block in PRIVATE if region.node_cidr.subnet_of(block)), None)
    if home and not region.pod_cidr.subnet_of(home):
        yield (
            f"pod_cidr {region.pod_cidr} is not in {home} as node_cidr is, and a VPC has ranges of one private block "
            f"only; write a pod_cidr in {home}"
        )


def _machines(region: CloudRegionConfig) -> Iterator[str]:
    for group in region.node_groups:
        if group.machine_type and has_accelerators(group.machine_type):
            yield (
                f"node group {group.name}: machine_type {group.machine_type} has accelerators, nobody would know of "
                "them in a group of EKS's nodes; list such machines in a region of kind gpu"
            )


def _zones(region: CloudRegionConfig, plane: EksControlPlane) -> Iterator[str]:
    zone, home = getattr(region.provider, "zone", ""), getattr(region.provider, "region", "")
    if plane.second_zone == zone or not plane.second_zone.startswith(home):
        yield (
            f"second_zone {plane.second_zone} with zone {zone}; write another availability zone of {home}, for "
            f"example {home}{'b' if zone.endswith('a') else 'a'}"
        )


def _remote(config: StackConfig) -> Iterator[str]:
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
