"""A gateway as a node pool of a GKE cluster: one node, that GKE repairs and upgrades in its place."""

from __future__ import annotations

from typing import Any

import pulumi

from network.gcp_machines import DEFAULT_TYPES
from network.managed import GATEWAY_LABEL as LABEL
from network.plan import NodePlan
from providers.gcp_network import network_tag
from providers.gcp_types import GcpResource


def gateway_pool(
    node: NodePlan,
    zone: str,
    cluster: dict[str, Any],
    config: dict[str, Any],
    pods: str,
    opts: pulumi.ResourceOptions,
) -> GcpResource:
    """
    `cluster`: what says where the pool belongs; `config`: what all nodes of the cluster have; `pods`: the name of their
    pods' range. The name of the node changes with each upgrade, so its label says which gateway it is; what it is in
    the tailnet is kept in a Secret.
    """
    return GcpResource(
        "NodePool",
        node.name,
        {
            **cluster,
            "nodeCount": 1,
            # Of a regional cluster a pool is as many nodes for each zone.
            "nodeLocations": [zone],
            # Others dial it: the public address is its own, and another one after a repair.
            "networkConfig": {"enablePrivateNodes": False, "podRange": pods},
            "management": {"autoRepair": True, "autoUpgrade": True},
            # The old node ends before the new one begins: two of them would be one device of the tailnet.
            "upgradeSettings": {"strategy": "SURGE", "maxSurge": 0, "maxUnavailable": 1},
            "nodeConfig": {
                **config,
                "machineType": node.machine_type or DEFAULT_TYPES["gateway"],
                "tags": [network_tag(node.region, "gateway")],
                "labels": {
                    LABEL: node.name,
                    # A machine can be in one load balancer's group only, and it is in that of the VPC's routes.
                    "node.kubernetes.io/exclude-from-external-load-balancers": "true",
                },
                "taints": [{"key": LABEL, "value": node.name, "effect": "NO_SCHEDULE"}],
            },
        },
        pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True)),
        outputs=["managedInstanceGroupUrls"],
    )
