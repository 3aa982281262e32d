"""Rules about machines: their addresses, their pod ranges, and how the operator reaches them over SSH."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

from config.schema import (
    CloudRegionConfig,
    ControlPlaneConfig,
    GatewaysConfig,
    MachineConfig,
    RegionConfig,
    StackConfig,
)
from network.nodes import NodeDraft
from network.ranges import address_span

# A network address, a broadcast address and two hosts.
SMALLEST_NODE_RANGE = 4


def address_problems(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    """Every problem of node IPs and of the pod ranges that follow from them."""
    reported: set[tuple[str, str]] = set()
    elsewhere = dict(_all_outside(config, drafts))
    yield from elsewhere.values()
    for draft in drafts:
        if draft.region.name in elsewhere:
            continue
        found = _address(draft) or _pod_slot(draft, config.kubernetes.node_pod_prefix)
        # A group of counted machines has one address to mend: its first machine's line is enough.
        group = (draft.region.name, draft.field if draft.machine is None else draft.name)
        if found and group not in reported:
            reported.add(group)
            yield found
    yield from _duplicates(drafts)


def _all_outside(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[tuple[str, str]]:
    """Regions whose node CIDR holds none of their listed machines: the range is the mistake."""
    for region in config.regions:
        listed = [draft for draft in drafts if draft.region is region and draft.machine]
        roomy = region.node_cidr.num_addresses >= SMALLEST_NODE_RANGE
        if roomy and len(listed) > 1 and not any(draft.node_ip in region.node_cidr for draft in listed):
            first, last = listed[0].node_ip, listed[-1].node_ip
            yield (
                region.name,
                f"region {region.name}: node_cidr {region.node_cidr} holds none of its "
                f"{len(listed)} machines ({first} to {last}); "
                "write a node_cidr that contains them, or node IPs inside it",
            )


def _address(draft: NodeDraft) -> str | None:
    region, cidr = draft.region, draft.region.node_cidr
    router = 1 if region.provider.kind == "lab" else 0
    if cidr.num_addresses < SMALLEST_NODE_RANGE:
        return f"region {region.name}: node_cidr {cidr} has no room for machines; write a /30 or larger"
    remedy = f"write {draft.field}: one of {address_span(cidr, 1 + router)}"
    got = f"{draft}: node IP {draft.node_ip}"
    if draft.node_ip not in cidr:
        return f"{got} lies outside node_cidr {cidr}; {remedy}"
    if draft.node_ip == cidr.network_address:
        return f"{got} is the network address of {cidr}; {remedy}"
    if draft.node_ip == cidr.broadcast_address:
        return f"{got} is the broadcast address of {cidr}; {remedy}"
    if router and draft.host == router:
        return f"{got} is the address of the lab's router in {cidr}; {remedy}"
    return None


def _pod_slot(draft: NodeDraft, prefix: int) -> str | None:
    pod_cidr = draft.region.pod_cidr
    slots = 1 << (prefix - pod_cidr.prefixlen) if pod_cidr.prefixlen <= prefix else 0
    if draft.host < slots:
        return None
    bits = draft.host.bit_length()
    return (
        f"{draft}: node IP {draft.node_ip} is host {draft.host} of {draft.region.node_cidr} "
        "and takes pod range number "
        f"{draft.host}, but pod_cidr {pod_cidr} holds {slots} ranges of /{prefix} (node_pod_prefix); "
        f"write a node IP with a host number below {slots}, or a pod_cidr of "
        f"/{max(prefix - bits, 8)} or larger"
    )


def _duplicates(drafts: Sequence[NodeDraft]) -> Iterator[str]:
    users: dict[IPv4Address, list[NodeDraft]] = defaultdict(list)
    for draft in drafts:
        users[draft.node_ip].append(draft)
    for address, group in users.items():
        if len(group) > 1:
            fields = ", ".join(f"{draft.name} ({draft.field})" for draft in group)
            yield (
                f"region {group[-1].region.name}: node IP {address} is used by {fields}; "
                "write a different one for each"
            )


def machine_problems(config: StackConfig) -> Iterator[str]:
    """Every problem of listed machines that needs their region to be seen."""
    for region in config.regions:
        yield from _counts(region)
        for machine in region.machines:
            where = f"region {region.name}, machine {machine.name}"
            yield from (f"{where}: {line}" for line in _roles(region, machine))
            lines = _ssh(region, machine) if region.provider.kind == "ssh" else _handed_out(region, machine)
            yield from (f"{where}: {line}" for line in lines)


def _counts(region: RegionConfig) -> Iterator[str]:
    if not isinstance(region, CloudRegionConfig):
        if not region.machines:
            yield (
                f"region {region.name}: machines is empty; list at least one machine with "
                "gateway: true, or remove the region"
            )
        return
    if region.provider.kind != "ssh":
        if region.machines:
            yield (
                f"region {region.name}: machines are listed, but a cloud region on "
                f"{region.provider.kind} counts them; "
                "remove machines, write control_plane, gateways and node_groups"
            )
        return
    plane = region.control_plane
    if not isinstance(plane, ControlPlaneConfig):
        return  # has a line of its own: no cloud runs a control plane for machines on ssh
    wanted = {"gateway": region.gateways.count, "control_plane": plane.machines}
    for flag, count in wanted.items():
        flagged = sum(1 for machine in region.machines if getattr(machine, flag))
        if flagged != count:
            key = "gateways.count" if flag == "gateway" else "control_plane.machines"
            yield (
                f"region {region.name}: {key} is {count}, but {flagged} of its machines have {flag}: true; "
                f"write {key.split('.')[1]}: {flagged}, or flag {count} machines"
            )
    if region.node_groups:
        yield f"region {region.name}: node_groups cannot be counted on ssh; list every machine under machines"
    counted: dict[str, ControlPlaneConfig | GatewaysConfig] = {
        "control_plane": plane,
        "gateways": region.gateways,
    }
    written = [
        f"{part}.{key}"
        for part, settings in counted.items()
        for key in ("first_ip", "machine_type")
        if getattr(settings, key) is not None
    ]
    if written:
        yield (
            f"region {region.name}: {', '.join(written)} written, but the machines are listed; remove it, "
            "each machine has its own node_ip"
        )


def _roles(region: RegionConfig, machine: MachineConfig) -> Iterator[str]:
    if machine.control_plane and region.kind == "gpu":
        yield "control_plane: true in a GPU region; the control plane lives in the cloud region, remove it"
    elif machine.control_plane and machine.gateway:
        yield (
            "is both control plane and gateway; write the two on different machines, a "
            "gateway must be free to restart"
        )


def _ssh(region: RegionConfig, machine: MachineConfig) -> Iterator[str]:
    if machine.gateway and machine.address is None and not region.no_inbound:
        yield (
            "is a gateway without an address; write address: its public IP, other "
            "regions connect to it directly"
        )
    elif machine.address is None and machine.jump is None:
        yield (
            "has neither address nor jump; write address: its SSH host, or jump: a "
            "machine of this region that has one"
        )
    if machine.host_key is None:
        yield 'has no host_key; write host_key: "ssh-ed25519 ..." as `ssh-keyscan -t ed25519 HOST` prints it'
    if machine.jump is not None:
        yield from _jump(region, machine, machine.jump)


def _jump(region: RegionConfig, machine: MachineConfig, jump: str) -> Iterator[str]:
    possible = [other.name for other in region.machines if other.address and other.name != machine.name]
    if jump not in possible:
        choice = (
            f"write one of {', '.join(possible)}"
            if possible
            else "give one machine of the region an address first"
        )
        reason = "itself" if jump == machine.name else "not a machine of this region that has an address"
        yield f"jump {jump} is {reason}; {choice}"
        return
    host = next(other for other in region.machines if other.name == jump)
    if host.jump is not None:
        yield (
            f"jump {jump} itself needs jump {host.jump}, and SSH goes through one machine only; write a jump that "
            f"the operator reaches directly, or remove jump from {jump}"
        )


def _handed_out(region: RegionConfig, machine: MachineConfig) -> Iterator[str]:
    written = [key for key in ("address", "jump", "host_key") if getattr(machine, key) is not None]
    if written:
        yield (
            f"{', '.join(written)} written, but {region.provider.kind} makes the machine "
            "and hands these out; remove it"
        )
