"""Rules about a region's mode: who is a device of the tailnet, and how many devices the tailnet holds.

`gateway`: a few machines of the region are devices and carry what crosses to other regions. `per-node`: every machine
is one, so that nothing between two machines is ever in plain text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from config.schema import CloudRegionConfig, MachineConfig, RegionConfig, StackConfig
from network.nodes import NodeDraft

SSH_PORT = 22


def mode_problems(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    """Every problem of the regions' modes, and the device limit of the tailnet's plan."""
    for region in config.regions:
        if region.mode == "per-node":
            yield from _per_node(region)
        else:
            yield from _without_lan(region)
    yield from _limit(config, drafts)


def is_device(draft: NodeDraft) -> bool:
    """Whether a machine is a device of the tailnet."""
    return draft.region.mode == "per-node" or draft.role == "gateway"


def _per_node(region: RegionConfig) -> Iterator[str]:
    where = f"region {region.name}"
    if isinstance(region, CloudRegionConfig) and region.gateways.count:
        yield (
            f"{where}: gateways.count is {region.gateways.count} with mode: per-node, where every machine is its "
            "own way into the tailnet; remove gateways, or write mode: gateway"
        )
    if region.cni == "cilium":
        # Tailscale's ip rules match 0x80000/0xff0000, Cilium's identity bits (cilium/cilium#48706), and
        # its autoDirectNodeRoutes would send pods over the LAN in plain text.
        yield (
            f"{where}: cni cilium with mode: per-node would put tailscaled beside Cilium's marks and routes on every "
            "machine; write cni: plain, or mode: gateway"
        )
    for machine in region.machines:
        yield from (f"{where}, machine {machine.name}: {line}" for line in _machine(region, machine))


def _machine(region: RegionConfig, machine: MachineConfig) -> Iterator[str]:
    if machine.gateway:
        yield (
            "gateway: true in a region with mode: per-node, which has no gateways; remove it, or write "
            "mode: gateway for the region"
        )
    elif region.provider.kind == "ssh" and machine.address is None:
        yield from _without_address(region, machine)


def _without_address(region: RegionConfig, machine: MachineConfig) -> Iterator[str]:
    if not region.no_inbound:
        yield (
            "is a device of its own (mode: per-node) without an address; write address: its public IP, "
            'other regions connect to it directly, or no_inbound: "why it works although nobody can dial in"'
        )
    elif region.provider.lan == "none":
        yield (
            "has no address, and with lan: none no machine of its region can be its jump host; write address: its "
            "SSH host, or lan: l2 or routed if the machines share a network"
        )
    elif machine.port != SSH_PORT:
        # The fence of the jump host knows no neighbour, so it lets nothing but SSH's own port pass on the LAN.
        yield (
            f"is reached through {machine.jump or 'a jump host'} at port {machine.port}, but on the LAN of a per-node "
            f"region SSH is let through at port {SSH_PORT} only; write port: {SSH_PORT}, or an address"
        )


def _without_lan(region: RegionConfig) -> Iterator[str]:
    if region.provider.lan != "none" or len(region.machines) < 2:
        return
    if region.provider.creates:
        yield (
            f"region {region.name}: mode: gateway with {len(region.machines)} machines, but {region.provider.kind} "
            "hands out private addresses itself, so no node IP of the plan can be on its network; write mode: "
            "per-node, or a region for each machine, which is its own gateway then"
        )
    else:
        yield (
            f"region {region.name}: lan: none with mode: gateway, but its machines have no other way to their "
            "gateway than a LAN; write mode: per-node, or lan: l2 or routed if they share a network"
        )


def _limit(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    limit = config.tailnet.max_devices
    devices = [draft for draft in drafts if is_device(draft)]
    if limit is None or len(devices) <= limit:
        return
    gateways = sum(1 for draft in devices if draft.region.mode == "gateway")
    single = [region for region in config.regions if region.mode == "per-node"]
    if not single:
        yield (
            f"tailnet: max_devices is {limit}, the stack's gateways are {gateways} devices; "
            "write fewer gateways per region, or the limit of a larger plan"
        )
        return
    sizes = {region.name: sum(1 for draft in devices if draft.region is region) for region in single}
    largest = max(sizes, key=lambda name: sizes[name])
    yield (
        f"tailnet: max_devices is {limit}, the stack has {len(devices)} devices: {gateways} gateways, and every "
        f"machine of {', '.join(f'{name} ({size})' for name, size in sizes.items())} (mode: per-node); "
        f"write mode: gateway for region {largest}, or the limit of a larger plan"
    )
