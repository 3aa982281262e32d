"""Which machines of Google Cloud have which GPUs (https://cloud.google.com/compute/docs/gpus)."""

from __future__ import annotations

import re

from config.schema import GpuConfig
from network.nodes import Role

# Egress grows with the number of processors, 2 Gbit/s each, and a gateway encrypts what it sends
# (https://cloud.google.com/compute/docs/network-bandwidth).
DEFAULT_TYPES: dict[Role, str] = {
    "control-plane": "e2-standard-4",
    "gateway": "e2-standard-4",
    "worker": "e2-standard-4",
}
# By the GPU's model, as it may be written in a stack file, and how many are in one machine.
_BUILT_IN = {
    # Smaller ones of the family are sold as Spot or by Flex start only.
    "H100": {8: "a3-highgpu-8g"},
    "A100": {
        1: "a2-highgpu-1g",
        2: "a2-highgpu-2g",
        4: "a2-highgpu-4g",
        8: "a2-highgpu-8g",
        16: "a2-megagpu-16g",
    },
    "A100-80GB": {1: "a2-ultragpu-1g", 2: "a2-ultragpu-2g", 4: "a2-ultragpu-4g", 8: "a2-ultragpu-8g"},
    "L4": {1: "g2-standard-8", 2: "g2-standard-24", 4: "g2-standard-48", 8: "g2-standard-96"},
}
_SAME = {"H100-80GB": "H100", "A100-40GB": "A100", "L4-24GB": "L4"}
# Attached to a machine of the N1 family, whose name says nothing of them.
_ATTACHED = {
    "T4": "nvidia-tesla-t4",
    "P4": "nvidia-tesla-p4",
    "P100": "nvidia-tesla-p100",
    "V100": "nvidia-tesla-v100",
}
_MOST = {"V100": 8}
_DEFAULT_N1 = {1: "n1-standard-8", 2: "n1-standard-16", 4: "n1-standard-32", 8: "n1-standard-96"}
_GPU_FAMILY = re.compile(r"^(a\d|g2|g4)[a-z]*-")


# https://cloud.google.com/compute/docs/disks/hyperdisks: families that cannot boot from a Hyperdisk, and some that
# can boot from nothing else.
_NO_HYPERDISK = re.compile(r"^(e2|n1|t2a|c2|c2d)-")
_HYPERDISK_ONLY = re.compile(r"^(n4|c4|c4a|c4d|a4|a4x|x4|m4)-|^a3-ultragpu-")
_ARM = re.compile(r"^(t2a|c4a|n4a|a4x)-")


def boots_from(machine_type: str, disk_type: str) -> bool:
    """Whether machines of a type take such a boot disk, as far as is known here."""
    wrong = _NO_HYPERDISK if disk_type.startswith("hyperdisk") else _HYPERDISK_ONLY
    return not wrong.match(machine_type)


def is_arm(machine_type: str) -> bool:
    """Whether a machine's processor is an Arm one, for which an image must be made."""
    return bool(_ARM.match(machine_type))


def machine_type_of(written: str | None, gpu: GpuConfig | None, role: Role) -> str:
    """The type that is written, or follows from the GPUs or the role."""
    return written or (gpu_machine_type(gpu) if gpu else None) or DEFAULT_TYPES[role]


def gpu_machine_type(gpu: GpuConfig) -> str | None:
    """The type of machine that has these GPUs; None if it must be written in the stack file."""
    if gpu.type in _ATTACHED:
        return _DEFAULT_N1.get(gpu.count) if gpu.count <= _MOST.get(gpu.type, 4) else None
    return _BUILT_IN.get(_SAME.get(gpu.type, gpu.type), {}).get(gpu.count)


def accelerator(gpu: GpuConfig, machine_type: str) -> str | None:
    """What is to be attached to a machine; None where its GPUs are built in, or cannot be attached."""
    return _ATTACHED.get(gpu.type) if machine_type.startswith("n1-") else None


def has_gpus(machine_type: str) -> bool:
    """Whether GPUs are built into machines of a type."""
    return bool(_GPU_FAMILY.match(machine_type))


def attachable() -> str:
    """The GPUs that can be attached, for an error message."""
    return f"{', '.join(sorted(_ATTACHED))} to the family N1"
