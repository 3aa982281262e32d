"""Rules about machines that are rented from a seller of GPUs."""

from __future__ import annotations

from collections.abc import Iterator

from config.schema import MachineConfig, RegionConfig, StackConfig

SELLERS = ("hyperstack", "nebius")


def seller_problems(config: StackConfig) -> Iterator[str]:
    """Every problem of regions whose machines a seller makes."""
    for region in config.regions:
        kind = region.provider.kind
        if kind not in SELLERS:
            continue
        if region.kind != "gpu":
            yield (
                f"region {region.name}: kind {region.kind} on {kind}, which sells GPU machines by name; write kind: "
                "gpu, and let the cloud region be on gcp, aws or ssh"
            )
            continue
        for machine in region.machines:
            yield from (
                f"region {region.name}, machine {machine.name}: {line}" for line in _machine(region, machine)
            )


def _machine(region: RegionConfig, machine: MachineConfig) -> Iterator[str]:
    kind = region.provider.kind
    wanted = (
        "PLATFORM/PRESET, for example gpu-h100-sxm/8gpu-128vcpu-1600gb" if kind == "nebius" else "a flavor"
    )
    if machine.machine_type is None:
        yield f"has no machine_type, and {kind} has no default; write machine_type: {wanted}"
    elif kind == "nebius" and len([part for part in machine.machine_type.split("/") if part]) != 2:
        yield f"machine_type {machine.machine_type} names no platform and preset; write machine_type: {wanted}"
