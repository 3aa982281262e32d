"""What of a GPU machine's software is tailspan's business: a region's choice, and what it is if none is written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

GpuSoftware = Literal["device-plugin", "operator", "none"]

SoftwareChoice = Annotated[
    GpuSoftware | None,
    Field(
        examples=["device-plugin"],
        description="device-plugin: the machines' NVIDIA drivers and GPUs are checked, and NVIDIA's device plugin "
        "offers the GPUs to pods; operator: the same by NVIDIA's GPU Operator, in all regions with GPUs or none; "
        "none: nothing is checked or installed. If none is written: device-plugin, and none in the lab, which has no "
        "GPU.",
    ),
]
TaintChoice = Annotated[
    bool,
    Field(
        examples=[True],
        description="Whether nodes with GPUs repel pods that do not tolerate the taint nvidia.com/gpu.",
    ),
]


def gpu_software(choice: GpuSoftware | None, provider: str) -> GpuSoftware:
    """The choice, or what stands in its place."""
    return choice or ("none" if provider == "lab" else "device-plugin")
