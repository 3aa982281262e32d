"""Every rule of the network plan; each line names the object, what it got and what to write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from config.schema import CloudRegionConfig, ControlPlaneConfig, RegionConfig, StackConfig
from network.aws_rules import aws_problems
from network.gcp_rules import gcp_problems
from network.gpu_rules import gpu_problems
from network.machine_rules import address_problems, machine_problems
from network.managed_rules import managed_problems
from network.modes import is_device, mode_problems
from network.mtu import mtu_problems
from network.nodes import NodeDraft
from network.pool_rules import pool_problems
from network.prefixes import (
    MAX_GATEWAYS,
    PrefixCount,
    has_room,
    longest_node_block,
    longest_pod_block,
    prefix_count,
    probe_room,
)
from network.prices import price_problems
from network.range_rules import range_problems
from network.reach_rules import reach_problems
from network.seller_rules import seller_problems
from network.versions import SEVERAL_GATEWAYS, older

LONGEST_NODE_NAME = 63
# Every device holds every prefix. In default ranges a region with two gateways usually has 40 and one for each machine
# (64 at most), one with four has 66; 232 and 7 for each machine, and 1026, if its gateways fail one after the other and
# nobody leaves the tailnet. All regions at once do not come to that, so all count as they usually are, and one with all
# its rungs: 128 regions, which is all that the default supernets hold, may have two gateways and 20 machines each.
# A choice, not a limit that somebody documents. What takes headscale time are the prefixes of the one gateway that
# changes something (0.4 s with 164, ADR 19), and those MOST_NODE_TILES bounds.
MOST_PREFIXES = 8192
# The cluster's DNS answers for it, so no name in it can be one of a machine.
CLUSTER_DOMAIN = "cluster.local"
# Interfaces that the node itself makes, or that carry no packet to another machine.
NO_LAN = ("tailscale", "tailspan", "wg", "cilium", "lxc", "cni", "docker", "veth")


def problems(config: StackConfig, drafts: Sequence[NodeDraft]) -> tuple[str, ...]:
    """Every reason why a configuration makes no working network, in the order of mending."""
    found = [
        *_names(config, drafts),
        *_cluster(config),
        *_hub(config),
        *range_problems(config),
        *address_problems(config, drafts),
        *machine_problems(config),
        *managed_problems(config, drafts),
        *pool_problems(config, drafts),
        *gcp_problems(config, drafts),
        *reach_problems(config),
        *mtu_problems(config),
        *_gateways(config, drafts),
        *_prefixes(config, drafts),
        *mode_problems(config, drafts),
        *seller_problems(config),
        *price_problems(config),
        *aws_problems(config, drafts),
        *gpu_problems(config),
    ]
    return tuple(dict.fromkeys(found))


def _names(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    for name, times in Counter(region.name for region in config.regions).items():
        if times > 1:
            yield f"region {name}: {times} regions have this name; give each region a name of its own"
    for name, times in Counter(draft.name for draft in drafts).items():
        if times > 1:
            homes = ", ".join(sorted({draft.region.name for draft in drafts if draft.name == name}))
            yield (
                f"machine {name}: {times} machines have this name (in {homes}); "
                "a machine's name is its Kubernetes node's, so write a different one for each"
            )
    for draft in drafts:
        if len(draft.name) > LONGEST_NODE_NAME:
            yield (
                f"{draft}: the name has {len(draft.name)} characters, a node name holds {LONGEST_NODE_NAME}; "
                "write a shorter region or node group name"
            )


def _cluster(config: StackConfig) -> Iterator[str]:
    endpoint = config.kubernetes.endpoint
    if endpoint == CLUSTER_DOMAIN or endpoint.endswith(f".{CLUSTER_DOMAIN}"):
        yield (
            f"kubernetes: endpoint {endpoint} lies in {CLUSTER_DOMAIN}, where the cluster's own DNS answers; "
            "write a name outside it, for example api.prod.example.internal"
        )
    for region in config.regions:
        if region.lan_device == "lo" or region.lan_device.startswith(NO_LAN):
            yield (
                f"region {region.name}: lan_device {region.lan_device} is no interface to a LAN; write the one that "
                "has the node IPs, as `ip -4 -brief address` shows it, for example eth0"
            )


def _hub(config: StackConfig) -> Iterator[str]:
    clouds = [region for region in config.regions if isinstance(region, CloudRegionConfig)]
    if not clouds:
        yield (
            "regions: none is of kind cloud; write exactly one region with kind: cloud, "
            "it holds the control plane"
        )
    if len(clouds) > 1:
        names = ", ".join(region.name for region in clouds)
        yield f"regions: {names} are all of kind cloud; write exactly one, further places are of kind: gpu"
    for region in clouds:
        plane = region.control_plane
        machines = plane.machines if isinstance(plane, ControlPlaneConfig) else 1
        if machines != 1:
            yield (
                f"region {region.name}: control_plane.machines is {machines}; write machines: 1 "
                "(the endpoint name stays, so that a later version can grow it to three)"
            )


def _gateways(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    for region in (region for region in config.regions if region.mode == "gateway"):
        gateways = sum(1 for draft in drafts if draft.region is region and draft.role == "gateway")
        listed = region.kind == "gpu" or region.provider.kind == "ssh"
        key = "gateway: true on one or two of its machines" if listed else "gateways: {count: 2}"
        if gateways == 0:
            yield f"region {region.name}: has no gateway, so nothing outside can reach it; write {key}"
        if gateways > MAX_GATEWAYS:
            yield (
                f"region {region.name}: {gateways} gateways; write at most {MAX_GATEWAYS}, "
                "each more would double the number of prefixes that the region advertises"
            )
        yield from _ladder(region, min(gateways, MAX_GATEWAYS), config.kubernetes.node_pod_prefix)
        if gateways > 1 and older(config.tailnet.version, SEVERAL_GATEWAYS):
            yield (
                f"tailnet: version {config.tailnet.version} with {gateways} gateways in "
                f"region {region.name}: below "
                f"{SEVERAL_GATEWAYS.version} {SEVERAL_GATEWAYS.below}; write version: "
                f"{SEVERAL_GATEWAYS.version} or later, "
                "or one gateway per region"
            )


def _ladder(region: RegionConfig, gateways: int, node_pod_prefix: int) -> Iterator[str]:
    if gateways < 2:
        # One alone advertises its blocks as they are; its probe addresses need the pod range of host 0, which is there
        # as soon as a machine has one.
        return
    blocks = (
        ("node", region.node_cidr, longest_node_block(gateways)),
        ("pod", region.pod_cidr, longest_pod_block(gateways)),
    )
    for kind, block, longest in blocks:
        if block.prefixlen > longest:
            remedy = f"write a /{longest} or larger"
            if region.slot is not None:
                remedy = (
                    f"write kubernetes.slots.{kind}_prefix: {longest} or less, or ranges in place of the slot"
                )
            yield (
                f"region {region.name}: {kind}_cidr {block} is too small for {gateways} gateways, which must be able "
                f"to take each other's place by longer prefixes; {remedy}, or fewer gateways"
            )
    if node_pod_prefix > (room := probe_room(gateways)):
        yield (
            f"region {region.name}: with kubernetes.node_pod_prefix {node_pod_prefix} the addresses at which "
            f"{gateways} gateways are probed would be another machine's pods; write node_pod_prefix: {room} or less, "
            "or fewer gateways"
        )


def _prefixes(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    counts = {
        region.name: _prefix_count(region, drafts, config.kubernetes.node_pod_prefix)
        for region in config.regions
    }
    # The region that grows most when its gateways fail.
    worst = max(counts, key=lambda name: counts[name].most - counts[name].usual, default=None)
    found = {name: count.most if name == worst else count.usual for name, count in counts.items()}
    if sum(found.values()) > MOST_PREFIXES:
        name = max(found, key=lambda region: found[region])
        yield (
            f"tailnet: the stack's devices may come to advertise {sum(found.values())} prefixes, {found[name]} of "
            f"them for region {name}; every device holds them all, {MOST_PREFIXES} at most; write fewer gateways per "
            "region (two are enough for a take-over), or mode: gateway for a large region"
        )


def _prefix_count(region: RegionConfig, drafts: Sequence[NodeDraft], node_pod_prefix: int) -> PrefixCount:
    """The prefixes of a region; a node that is a device of its own has two."""
    nodes = [draft for draft in drafts if draft.region is region]
    devices = sum(1 for draft in nodes if is_device(draft))
    if region.mode == "per-node":
        return PrefixCount(2 * devices, 2 * devices)
    gateways = min(devices, MAX_GATEWAYS)
    if not gateways or not has_room(region.node_cidr, region.pod_cidr, gateways):
        return PrefixCount(0, 0)  # has a line of its own
    return prefix_count(region.node_cidr, region.pod_cidr, gateways, len(nodes), node_pod_prefix)
