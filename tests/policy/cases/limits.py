"""Cases of the rules about ceilings."""

from __future__ import annotations

from typing import Any

from pulumi_policy import PolicyResource

from policy.rules.known import (
    AWS_INSTANCE,
    AWS_NODE_GROUP,
    CLOUD_REGION,
    GCP_CLUSTER,
    GCP_INSTANCE,
    GCP_NODE_POOL,
    GPU_REGION,
    TAILNET_KEY,
)
from tests.policy.judge import UNKNOWN, Cases, case, resource


def region(kind: str, name: str, **props: Any) -> PolicyResource:
    own = {"name": name, "devices": 2.0, "gpus": 0.0, "usdPerHour": 0.0}
    return resource(kind, name, {**own, "podsPerNode": 110.0, "podAddressesPerNode": 256.0, **props})


HUB = region(CLOUD_REGION, "hub")
GPU = region(GPU_REGION, "gpu", gpus=16.0, usdPerHour=30.4)
KEYS = [
    resource(TAILNET_KEY, f"key-{number}", {"reusable": False, "tags": ["tag:hub"]}) for number in range(3)
]
ANYBODYS = resource(TAILNET_KEY, "shared", {"reusable": True})
A3 = resource(GCP_INSTANCE, "trainer", {"machineType": "a3-highgpu-8g", "zone": "us-central1-a"})
T4 = resource(
    GCP_INSTANCE,
    "t4",
    {"machineType": "n1-standard-8", "guestAccelerators": [{"type": "nvidia-tesla-t4", "count": 2}]},
)
POOL = resource(
    GCP_NODE_POOL,
    "gpus",
    {
        "nodeConfig": {"machineType": "g2-standard-48"},
        "autoscaling": {"maxNodeCount": 5.0, "minNodeCount": 0.0},
    },
)
P5 = resource(AWS_INSTANCE, "p5", {"instanceType": "p5.48xlarge"})
GROUP = resource(
    AWS_NODE_GROUP,
    "gpus",
    {
        "instanceTypes": ["g5.xlarge", "g5.12xlarge"],
        "scalingConfig": {"minSize": 0, "desiredSize": 1, "maxSize": 3},
    },
)
CPU = resource(AWS_INSTANCE, "cpu", {"instanceType": "m7i.48xlarge"})

CASES = {
    "devices-within-limit": Cases(
        passes=[
            case(HUB, GPU, *KEYS, max_devices=4),
            case(HUB, GPU, *KEYS, ANYBODYS),
            case(*KEYS, max_devices=3),
        ],
        refuses=[
            case(
                HUB,
                GPU,
                max_devices=3,
                said="tailnet: 4 devices (region hub 2, region gpu 2), the limit is 3.",
            ),
            case(*KEYS, max_devices=2, said="tailnet: 3 devices (keys 3), the limit is 2."),
            case(ANYBODYS, max_devices=100, said="is reusable, so nobody can count its devices"),
            case(region(GPU_REGION, "x", devices=UNKNOWN), max_devices=9, said="input devices is not known"),
        ],
    ),
    "pods-per-node-within-limit": Cases(
        passes=[
            case(HUB, GPU, resource(GCP_CLUSTER, "c", {}), POOL),
            case(resource(GCP_NODE_POOL, "dense", {"maxPodsPerNode": 256.0}), max_pods=256),
        ],
        refuses=[
            case(region(GPU_REGION, "gpu", podsPerNode=250.0), said="250 pods on a node, the limit is 110"),
            case(
                region(GPU_REGION, "gpu", podAddressesPerNode=64.0),
                said="a node may run 110 pods and has 64 addresses for them",
            ),
            case(resource(GCP_CLUSTER, "c", {"defaultMaxPodsPerNode": 200.0}), said="raise max_pods"),
            case(resource(GCP_NODE_POOL, "p", {"maxPodsPerNode": 111.0}), said="111 pods on a node"),
            case(HUB, max_pods=32, said="the limit is 32. Write 32 at most"),
        ],
    ),
    "price-within-ceiling": Cases(
        passes=[
            case(HUB, GPU, max_usd_per_hour=30.4),
            case(HUB, GPU, A3),
            case(A3, CPU, max_usd_per_hour=90, machine_prices={"a3-highgpu-8g": 88.0}),
        ],
        refuses=[
            case(
                HUB,
                GPU,
                max_usd_per_hour=30,
                said="the stack: 30.40 USD an hour (region gpu 30.40), the ceiling is 30.00",
            ),
            case(
                region(GPU_REGION, "gpu", gpus=8.0, usdPerHour=None),
                max_usd_per_hour=1000,
                said="region gpu: nobody knows the price of its 8 GPUs. Write usd_per_hour under gpu.",
            ),
            case(A3, max_usd_per_hour=1000, said='Write machine_prices: {"a3-highgpu-8g": USD an hour}'),
            case(
                GPU,
                GROUP,
                max_usd_per_hour=40,
                machine_prices={"g5.12xlarge": 5.67},
                said="47.41 USD an hour (region gpu 30.40, gpus 17.01)",
            ),
        ],
    ),
    "gpus-within-ceiling": Cases(
        passes=[
            case(HUB, GPU, max_gpus=16),
            case(A3, P5, GROUP, POOL),
            case(CPU, max_gpus=0),
            case(
                GPU,
                resource(f"{GPU_REGION}${GCP_INSTANCE}", "inside", {}),
                max_gpus=16,
            ),
        ],
        refuses=[
            case(HUB, GPU, max_gpus=8, said="the stack: 16 GPUs (region gpu 16), the ceiling is 8."),
            case(A3, T4, max_gpus=9, said="the stack: 10 GPUs (trainer 8, t4 2)"),
            case(POOL, max_gpus=19, said="the stack: 20 GPUs (gpus 20)"),
            case(P5, GROUP, max_gpus=19, said="the stack: 20 GPUs (p5 8, gpus 12)"),
            case(
                resource(AWS_INSTANCE, "x", {"instanceType": UNKNOWN}),
                max_gpus=9,
                said="input instanceType is not",
            ),
        ],
    ),
}
