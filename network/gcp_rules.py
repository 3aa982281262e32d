"""Rules of Google Cloud about a region that lies there: what its API would refuse after half of the stack is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

from config.schema import GcpProvider, RegionConfig, StackConfig
from network.gcp_machines import (
    accelerator,
    attachable,
    boots_from,
    gpu_machine_type,
    has_gpus,
    is_arm,
    machine_type_of,
)
from network.managed import ranges_of
from network.nodes import NodeDraft

# https://cloud.google.com/vpc/docs/subnets#valid-ranges
SMALLEST_SUBNET = 29
# https://cloud.google.com/vpc/docs/mtu
MTUS = (1300, 8896)
# A name has at most 63 characters (https://cloud.google.com/compute/docs/naming-resources), of which Pulumi makes
# the last 8; the longest name of a region's own is that of the firewall rule control-plane-udp-41641.
LONGEST_MACHINE, LONGEST_REGION = 55, 31


def balancer_address(node_cidr: IPv4Network) -> IPv4Address:
    """The address of the load balancer that leads to other regions: the last one that Google leaves to us."""
    return node_cidr[-3]


def gcp_problems(config: StackConfig, drafts: Sequence[NodeDraft]) -> Iterator[str]:
    """Every problem of the regions on Google Cloud."""
    for region in config.regions:
        if isinstance(region.provider, GcpProvider):
            yield from (f"region {region.name}: {line}" for line in _region(region, region.provider))
            for draft in drafts:
                if draft.region is region:
                    yield from (f"{draft}: {line}" for line in _machine(draft, region.provider))


def _region(region: RegionConfig, place: GcpProvider) -> Iterator[str]:
    if not place.zone.startswith(f"{place.region}-"):
        yield (
            f"provider.zone {place.zone} does not lie in provider.region {place.region}; write a zone such as "
            f"{place.region}-a, or region: {place.zone.rsplit('-', 1)[0]}"
        )
    for field, cidr in (("node_cidr", region.node_cidr), ("pod_cidr", region.pod_cidr)):
        if cidr.prefixlen > SMALLEST_SUBNET:
            yield (
                f"{field} {cidr} is smaller than a range of a subnetwork may be; "
                f"write a /{SMALLEST_SUBNET} or larger"
            )
    if not MTUS[0] <= region.lan_mtu <= MTUS[1]:
        yield f"lan_mtu {region.lan_mtu} is none that a VPC can have; write one from {MTUS[0]} to {MTUS[1]}"
    if len(region.name) > LONGEST_REGION:
        yield (
            f"the name has {len(region.name)} characters, and with it names of firewall rules become too long; "
            f"write one of at most {LONGEST_REGION} characters"
        )


def _machine(draft: NodeDraft, place: GcpProvider) -> Iterator[str]:
    if len(draft.name) > LONGEST_MACHINE:
        yield (
            f"the name has {len(draft.name)} characters; write one of at most {LONGEST_MACHINE} on gcp, "
            "where a few more are added to it"
        )
    yield from _address(draft, place)
    yield from _gpus(draft)
    yield from _boots(draft, place)


def _address(draft: NodeDraft, place: GcpProvider) -> Iterator[str]:
    ranges = ranges_of(draft.region)
    cidr = ranges.machines if ranges else draft.region.node_cidr
    if cidr.prefixlen > SMALLEST_SUBNET:
        return
    last = cidr[-4] if place.routes == "load-balancer" else cidr[-3]
    remedy = f"write {draft.field}: one of {cidr[2]} to {last}"
    # The first and the last one are refused in every place. https://cloud.google.com/vpc/docs/subnets
    if draft.node_ip in (cidr[1], cidr[-2]):
        yield f"node IP {draft.node_ip} is one that Google Cloud keeps for itself in {cidr}; {remedy}"
    elif place.routes == "load-balancer" and draft.node_ip == balancer_address(cidr):
        yield (
            f"node IP {draft.node_ip} is the address of the load balancer that leads to other regions "
            f"(provider.routes: load-balancer); {remedy}, or routes: instance"
        )


def _boots(draft: NodeDraft, place: GcpProvider) -> Iterator[str]:
    """Disk and processor go with the machine's family: the API would refuse others one by one."""
    gpu = draft.machine.gpu if draft.machine else None
    machine_type = machine_type_of(draft.machine_type, gpu, draft.role)
    if not boots_from(machine_type, place.disk_type):
        other = "pd-balanced" if place.disk_type.startswith("hyperdisk") else "hyperdisk-balanced"
        yield (
            f"machines of type {machine_type} cannot boot from provider.disk_type {place.disk_type}; write "
            f"disk_type: {other}, or another machine_type"
        )
    if is_arm(machine_type) and "amd64" in place.image:
        yield (
            f"machine_type {machine_type} has Arm processors, and provider.image {place.image} is for amd64; write an "
            "image for arm64, or another machine_type"
        )


def _gpus(draft: NodeDraft) -> Iterator[str]:
    gpu = draft.machine.gpu if draft.machine else None
    if gpu is None:
        if draft.machine_type and has_gpus(draft.machine_type):
            remedy = (
                "write gpu: with their type and count"
                if draft.machine
                else "list such machines in a region of kind gpu, with gpu: and its type and count"
            )
            yield f"machine_type {draft.machine_type} has GPUs, and none are written; {remedy}"
        return
    if draft.machine_type is None and gpu_machine_type(gpu) is None:
        yield (
            f"gpu: {gpu.count} of type {gpu.type} are in no machine of Google Cloud that is known here; write "
            "machine_type, or another number"
        )
    elif draft.machine_type and not has_gpus(draft.machine_type) and not accelerator(gpu, draft.machine_type):
        yield (
            f"machine_type {draft.machine_type} has no GPUs built in, and {gpu.type} is none that can be attached "
            f"({attachable()}); write a machine_type of the families A or G"
        )
