"""Every rule of the network plan; each line names the object, what it got and what to write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from config.schema import CloudRegionConfig, RegionConfig, StackConfig
from network.machine_rules import address_problems, machine_problems
from network.nodes import NodeDraft
from network.prefixes import (
    LONGEST_POD_PREFIX,
    LONGEST_PREFIX,
    MAX_GATEWAYS,
    longest_ladder_block,
    longest_pod_block,
)
from network.range_rules import range_problems
from network.versions import SEVERAL_GATEWAYS, older

LONGEST_NODE_NAME = 63


def problems(config: StackConfig, drafts: Sequence[NodeDraft]) -> tuple[str, ...]:
    """Every reason why a configuration makes no working network, in the order of mending."""
    found = [
        *_names(config, drafts),
        *_hub(config),
        *range_problems(config),
        *address_problems(config, drafts),
        *machine_problems(config),
        *_gateways(config, drafts),
        *_devices(config, drafts),
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
        machines = region.control_plane.machines
        if machines != 1:
            yield (
                f"region {region.name}: control_plane.machines is {machines}; write machines: 1 "
                "(the endpoint name stays, so that a later version can grow it to three)"
            )


def _gateways(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    for region in config.regions:
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
        yield from _ladder(region, gateways)
        if gateways > 1 and older(config.tailnet.version, SEVERAL_GATEWAYS):
            yield (
                f"tailnet: version {config.tailnet.version} with {gateways} gateways in "
                f"region {region.name}: below "
                f"{SEVERAL_GATEWAYS.version} {SEVERAL_GATEWAYS.below}; write version: "
                f"{SEVERAL_GATEWAYS.version} or later, "
                "or one gateway per region"
            )


def _ladder(region: RegionConfig, gateways: int) -> Iterator[str]:
    count = min(gateways, MAX_GATEWAYS)
    for field, block, deepest, longest in (
        ("node_cidr", region.node_cidr, LONGEST_PREFIX, longest_ladder_block(count)),
        ("pod_cidr", region.pod_cidr, LONGEST_POD_PREFIX, longest_pod_block(count)),
    ):
        if block.prefixlen > longest:
            yield (
                f"region {region.name}: {field} {block} is too small for {gateways} gateways, "
                "which share it by prefixes "
                f"up to /{deepest}; write a /{longest} or larger, or fewer gateways"
            )


def _devices(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    limit = config.tailnet.max_devices
    devices = sum(1 for draft in drafts if draft.role == "gateway")
    if limit is not None and devices > limit:
        yield (
            f"tailnet: max_devices is {limit}, the stack's gateways are {devices} devices; "
            "write fewer gateways per region, or the limit of a larger plan"
        )
