"""GPUs and numbers of cloud machines, by the type of machine that others' programs ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pulumi_policy import PolicyResource

from .inputs import Props, number, rows, texts
from .known import AWS_INSTANCE, AWS_NODE_GROUP, GCP_INSTANCE, GCP_NODE_POOL, REGION_TYPES

# cloud.google.com/compute/docs/gpus: in the A families the name ends with the number of GPUs.
_GCP_NAMED = re.compile(r"^a\d\w*-\w+gpu-(?P<count>\d+)g")
_GCP_G2 = {"24": 2, "48": 4, "96": 8}
# aws.amazon.com/ec2/instance-types/#Accelerated_Computing: sizes with more than one GPU; the others have one.
_AWS_FAMILY = re.compile(
    r"^(?P<family>p3|p3dn|p4d|p4de|p5|p5e|p5en|p6-b200|p6-b300|g4dn|g5|g6|g6e)\.(?P<size>\w+)$"
)
_AWS_SEVERAL = {
    "p3": {"8xlarge": 4, "16xlarge": 8},
    "p3dn": {"24xlarge": 8},
    "p4d": {"24xlarge": 8},
    "p4de": {"24xlarge": 8},
    "p5": {"48xlarge": 8},
    "p5e": {"48xlarge": 8},
    "p5en": {"48xlarge": 8},
    "p6-b200": {"48xlarge": 8},
    "p6-b300": {"48xlarge": 8},
    "g4dn": {"12xlarge": 4, "metal": 8},
    "g5": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6e": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
}
GPU_TYPES = (GCP_INSTANCE, GCP_NODE_POOL, AWS_INSTANCE, AWS_NODE_GROUP)


@dataclass(frozen=True)
class GpuMachines:
    """One resource that stands for machines with GPUs; `machines` is the most that it may become."""

    machine_type: str
    gpus_each: int
    machines: int


def gpu_machines(resource: PolicyResource) -> GpuMachines | None:
    """What a resource asks for, None if it has no GPU or belongs to a region that declares its own."""
    if resource.resource_type not in GPU_TYPES or _inside_region(resource.urn):
        return None
    props = resource.props
    if resource.resource_type == GCP_NODE_POOL:
        config: Props = props.get("nodeConfig") or {}
        return _gcp(config, _pool_size(props))
    if resource.resource_type == GCP_INSTANCE:
        return _gcp(props, 1)
    if resource.resource_type == AWS_NODE_GROUP:
        types = texts(props, "instanceTypes")
        size = number((props.get("scalingConfig") or {}).get("maxSize")) or 0
        return _aws(types, size)
    return _aws(texts(props, "instanceType"), 1)


def _inside_region(urn: str) -> bool:
    return any(f"{kind}$" in urn for kind in REGION_TYPES)


def _gcp(config: Props, machines: int) -> GpuMachines | None:
    machine_type = str(config.get("machineType") or "").rsplit("/", 1)[-1]
    attached = sum(number(row.get("count")) or 0 for row in rows(config, "guestAccelerators"))
    gpus = attached or _gcp_gpus(machine_type)
    return GpuMachines(machine_type, gpus, machines) if gpus else None


def _gcp_gpus(machine_type: str) -> int:
    match = _GCP_NAMED.match(machine_type)
    if match:
        return int(match.group("count"))
    return _GCP_G2.get(machine_type.rsplit("-", 1)[-1], 1) if machine_type.startswith("g2-") else 0


def _pool_size(props: Props) -> int:
    scaling: Props = props.get("autoscaling") or {}
    sizes: Iterator[int | None] = (
        number(value)
        for value in (scaling.get("totalMaxNodeCount"), scaling.get("maxNodeCount"), props.get("nodeCount"))
    )
    return next((size for size in sizes if size is not None), number(props.get("initialNodeCount")) or 0)


def _aws(types: Sequence[str], machines: int) -> GpuMachines | None:
    """Of several instance types any may be taken: the one with the most GPUs counts."""
    found = [(_aws_gpus(kind), kind) for kind in types]
    gpus, kind = max(found, default=(0, ""))
    return GpuMachines(kind, gpus, machines) if gpus else None


def _aws_gpus(instance_type: str) -> int:
    match = _AWS_FAMILY.match(instance_type)
    return _AWS_SEVERAL[match.group("family")].get(match.group("size"), 1) if match else 0
