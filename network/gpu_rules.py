"""Rules about GPU software: the lab has no GPU, and the GPU Operator knows no regions."""

from __future__ import annotations

from collections.abc import Iterator

from config.gpu import gpu_software
from config.schema import RegionConfig, StackConfig
from network.managed import is_managed


def gpu_problems(config: StackConfig) -> Iterator[str]:
    """Every reason why a region's GPU software cannot be what the file says."""
    for region in config.regions:
        if region.provider.kind == "lab" and region.gpu_software not in (None, "none"):
            yield (
                f"region {region.name}: gpu_software is {region.gpu_software}, but machines of the lab have no GPU; "
                "take it out, or write gpu_software: none"
            )
    managed = [region for region in config.regions if is_managed(region)]
    for region in config.regions:
        if managed and region.gpu_software == "operator" and _has_gpus(region):
            yield (
                f"region {region.name}: gpu_software is operator, but the GPU Operator's pods tolerate no machine "
                f"outside the cloud of {managed[0].name}'s control plane; write gpu_software: device-plugin"
            )
    chosen = {
        region.name: gpu_software(region.gpu_software, region.provider.kind)
        for region in config.regions
        if _has_gpus(region)
    }
    others = {name: software for name, software in chosen.items() if software != "operator"}
    if "operator" in chosen.values() and others:
        operated = ", ".join(name for name, software in chosen.items() if software == "operator")
        listed = ", ".join(f"{name} has {software}" for name, software in others.items())
        yield (
            f"regions: gpu_software is operator in {operated}, and the GPU Operator acts on every node with a GPU, but "
            f"{listed}; write gpu_software: operator in all regions with GPUs, or in none"
        )


def _has_gpus(region: RegionConfig) -> bool:
    return any(machine.gpu for machine in region.machines)
