"""Cases of the rules about reaching gateways."""

from __future__ import annotations

from policy.rules.reachability import GCP_FIREWALL, REGION_TYPES
from tests.policy.judge import Cases, case, resource

OPEN = {"protocol": "udp", "port": 41641.0, "source": "0.0.0.0/0"}
SSH = {"protocol": "tcp", "port": 22.0, "source": "198.51.100.1/32"}
GCP_OPEN = {
    "allows": [{"protocol": "udp", "ports": ["41641"]}],
    "sourceRanges": ["0.0.0.0/0"],
    "targetTags": ["tailspan-gateway"],
}

CASES = {
    "regions-open-udp-41641": Cases(
        passes=[case(resource(REGION_TYPES[1], "gpu", {"name": "gpu", "gatewayFirewall": [SSH, OPEN]}))],
        refuses=[
            case(
                resource(REGION_TYPES[1], "gpu", {"name": "gpu", "gatewayFirewall": [SSH]}),
                said="region gpu: UDP 41641 is not open",
            )
        ],
    ),
    "firewalls-open-udp-41641": Cases(
        passes=[case(resource(GCP_FIREWALL, "wireguard", GCP_OPEN))],
        refuses=[
            case(
                resource(GCP_FIREWALL, "wireguard", GCP_OPEN | {"sourceRanges": ["10.0.0.0/8"]}),
                said="machines tagged tailspan-gateway: UDP 41641 is not open",
            )
        ],
    ),
}
