"""Routes of a VPC to other regions, for clients that are no nodes: by an internal load balancer, or by one gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from config.places import GcpProvider
from network.gcp_rules import balancer_address
from network.ports import HEALTH_PATH, HEALTH_PORT
from providers.base import Site
from providers.gcp_network import GcpNetwork
from providers.gcp_types import GcpResource

# A gateway that fails is left after two probes. Google allows no shorter interval than a second
# (https://cloud.google.com/load-balancing/docs/health-check-concepts).
PROBE = {"checkIntervalSec": 1, "timeoutSec": 1, "healthyThreshold": 2, "unhealthyThreshold": 2}


class GcpRoutes:
    """One route for each range of another region; they change with the regions, and their next hop does not."""

    def __init__(
        self, site: Site, place: GcpProvider, network: GcpNetwork, opts: pulumi.ResourceOptions
    ) -> None:
        self._name = site.plan.name
        self._site = site
        self._place = place
        self._network = network
        self._opts = opts

    def lead(self, gateways: Sequence[GcpResource]) -> None:
        """Send what is for other regions to the gateways."""
        if not gateways or not self._site.remote:
            return
        if self._place.routes == "load-balancer":
            self._route({"nextHopIlb": self._balancer([self._group(gateways)]).selfLink})
        else:
            # Nobody notices if it fails; it is for those who do without a load balancer.
            self._route({"nextHopInstance": gateways[0].selfLink, "nextHopInstanceZone": self._place.zone})

    def lead_to_groups(self, groups: Sequence[pulumi.Output[str]]) -> None:
        """The same to the machines of groups that somebody else fills."""
        if groups and self._site.remote:
            self._route({"nextHopIlb": self._balancer(groups).selfLink})

    def _route(self, hop: dict[str, Any]) -> None:
        for cidr in self._site.remote:
            GcpResource(
                "Route",
                f"{self._name}-to-{str(cidr).replace('.', '-').replace('/', '-')}",
                {"network": self._network.network.id, "destRange": str(cidr), **hop},
                self._opts,
            )

    def _group(self, gateways: Sequence[GcpResource]) -> pulumi.Output[str]:
        return GcpResource(
            "InstanceGroup",
            f"{self._name}-gateways",
            {
                "zone": self._place.zone,
                "network": self._network.network.id,
                "instances": [gateway.selfLink for gateway in gateways],
            },
            self._opts,
            outputs=["selfLink"],
        ).selfLink

    def _balancer(self, groups: Sequence[pulumi.Output[str]]) -> GcpResource:
        """
        A passthrough load balancer as next hop: it takes every protocol and port, whatever its forwarding rule says
        (https://cloud.google.com/load-balancing/docs/internal/ilb-next-hop-overview). Each gateway advertises a prefix
        that covers the whole region, so each that is healthy is a legitimate sender of all of it, and all of them
        carry (docs/adr/0001-ladder-of-prefixes.md).
        """
        region = self._place.region
        check = GcpResource(
            "RegionHealthCheck",
            f"{self._name}-health",
            {"region": region, "httpHealthCheck": {"port": HEALTH_PORT, "requestPath": HEALTH_PATH}, **PROBE},
            self._opts,
        )
        service = GcpResource(
            "RegionBackendService",
            f"{self._name}-routers",
            {
                "region": region,
                "loadBalancingScheme": "INTERNAL",
                "protocol": "TCP",
                "network": self._network.network.id,
                "backends": [{"group": group, "balancingMode": "CONNECTION"} for group in groups],
                "healthChecks": check.id,
                # By the sender's address alone, so that fragments, which have no ports, take the way of their packet:
                # gateways put them together before they send them on.
                "sessionAffinity": "CLIENT_IP_NO_DESTINATION",
                # Gateways keep no state of what they forward, so a flow may go on by another one at once.
                "connectionTrackingPolicy": {"connectionPersistenceOnUnhealthyBackends": "NEVER_PERSIST"},
                "connectionDrainingTimeoutSec": 0,
            },
            self._opts,
        )
        # Reserved and planned, or Google might take a machine's future address for it.
        inputs = {
            "addressType": "INTERNAL",
            "address": str(balancer_address(self._site.plan.machine_cidr)),
            "subnetwork": self._network.subnetwork.id,
            "region": region,
        }
        address = GcpResource(
            "Address", f"{self._name}-balancer", inputs, self._opts, outputs=["address"]
        ).address
        return GcpResource(
            "ForwardingRule",
            f"{self._name}-balancer-rule",
            {
                "region": region,
                "loadBalancingScheme": "INTERNAL",
                "ipProtocol": "TCP",
                "allPorts": True,
                "ipAddress": address,
                "backendService": service.id,
                "network": self._network.network.id,
                "subnetwork": self._network.subnetwork.id,
            },
            self._opts,
            outputs=["selfLink"],
        )
