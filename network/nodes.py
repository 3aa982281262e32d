"""Every machine of a region, listed or counted, as a draft for the rules to judge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from config.schema import CloudRegionConfig, ControlPlaneConfig, MachineConfig, RegionConfig

Role = Literal["control-plane", "gateway", "worker"]

# Hosts of a cloud region's node CIDR where counted machines start if no first_ip is written.
CONTROL_PLANE_HOST = 10
GATEWAY_HOST = 20


@dataclass(frozen=True, kw_only=True)
class NodeDraft:
    """A machine with its address, before anything is known to be right."""

    name: str
    region: RegionConfig
    role: Role
    node_ip: IPv4Address
    field: str  # the key of the stack file that the address comes from
    machine_type: str | None
    machine: MachineConfig | None
    group: str | None = None  # the node group it is counted in

    @property
    def host(self) -> int:
        """The number of the node IP inside the node CIDR; it also numbers the node's pod range."""
        return int(self.node_ip) - int(self.region.node_cidr.network_address)

    def __str__(self) -> str:
        return f"region {self.region.name}, machine {self.name}"


def draft_nodes(region: RegionConfig) -> tuple[NodeDraft, ...]:
    """All machines of a region, ordered by address so that reordering the file changes nothing."""
    drafts = [_listed(region, machine) for machine in region.machines]
    if isinstance(region, CloudRegionConfig) and region.provider.kind != "ssh":
        drafts += _counted(region)
    return tuple(sorted(drafts, key=lambda draft: (draft.node_ip, draft.name)))


def _listed(region: RegionConfig, machine: MachineConfig) -> NodeDraft:
    role: Role = "control-plane" if machine.control_plane else "gateway" if machine.gateway else "worker"
    return NodeDraft(
        name=machine.name,
        region=region,
        role=role,
        node_ip=machine.node_ip,
        field="node_ip",
        machine_type=machine.machine_type,
        machine=machine,
    )


def _counted(region: CloudRegionConfig) -> Iterator[NodeDraft]:
    plane, gateways, cidr = region.control_plane, region.gateways, region.node_cidr
    groups: list[tuple[str, Role, int, IPv4Address, str, str | None]] = []
    if isinstance(plane, ControlPlaneConfig):
        groups.append(
            (
                "cp",
                "control-plane",
                plane.machines,
                plane.first_ip or host_address(cidr, CONTROL_PLANE_HOST),
                "control_plane.first_ip",
                plane.machine_type,
            )
        )
    groups.append(
        (
            "gw",
            "gateway",
            gateways.count,
            gateways.first_ip or host_address(cidr, GATEWAY_HOST),
            "gateways.first_ip",
            gateways.machine_type,
        )
    )
    # A managed control plane's node groups are the cloud's: their nodes' names and addresses are nobody's plan.
    groups += [
        (group.name, "worker", group.count, group.first_ip, f"node_groups[{i}].first_ip", group.machine_type)
        for i, group in enumerate(region.node_groups)
        if group.first_ip is not None and not plane.managed
    ]
    for label, role, count, first, field, machine_type in groups:
        for number in range(count):
            yield NodeDraft(
                name=f"{region.name}-{label}-{number + 1}",
                region=region,
                role=role,
                node_ip=_after(first, number),
                field=field,
                machine_type=machine_type,
                machine=None,
                group=label if role == "worker" else None,
            )


def host_address(cidr: IPv4Network, host: int) -> IPv4Address:
    """Host number `host` of a range, also if the range is too small for it: the rules say so then."""
    return _after(cidr.network_address, host)


def _after(first: IPv4Address, number: int) -> IPv4Address:
    return IPv4Address(min(int(first) + number, 2**32 - 1))
