"""Cases of the rules about addresses."""

from __future__ import annotations

from policy.rules.addresses import ADDRESS_MAP, AWS_VPC
from tests.policy.judge import Cases, case, resource

HUB = {"name": "hub", "nodeCidr": "10.0.0.0/24", "podCidr": "10.128.0.0/16"}
GPU = {"name": "gpu", "nodeCidr": "10.1.0.0/24", "podCidr": "10.129.0.0/16"}
MAP = resource(ADDRESS_MAP, "addresses", {"serviceCidr": "10.96.0.0/16", "regions": [HUB, GPU]})
BROKEN = resource(
    ADDRESS_MAP,
    "addresses",
    {"serviceCidr": "10.96.0.0/16", "regions": [HUB, GPU | {"nodeCidr": "10.0.0.0/25"}]},
)

CASES = {
    "address-map-has-no-overlap": Cases(
        passes=[case(MAP)],
        refuses=[case(BROKEN, said="region gpu: node_cidr 10.0.0.0/25 overlaps region hub: node_cidr")],
    ),
    "networks-have-no-overlap": Cases(
        passes=[case(MAP, resource(AWS_VPC, "gpu-vpc", {"cidrBlock": "10.1.0.0/20"}))],
        refuses=[
            case(
                MAP, resource(AWS_VPC, "legacy", {"cidrBlock": "10.96.0.0/12"}), said="VPC legacy: cidrBlock"
            )
        ],
    ),
}
