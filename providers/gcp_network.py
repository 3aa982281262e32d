"""A region's network at Google Cloud: a VPC with one subnetwork, what may pass in it, and the way out of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

import pulumi

from config.places import GcpProvider
from config.schema import FirewallRule
from network.nodes import Role
from network.ports import HEALTH_PORT
from providers.base import Site
from providers.gcp_types import GcpResource

PODS = "pods"
_Allows = Sequence[Mapping[str, object]]


def network_tag(region: str, role: Role) -> str:
    """What firewall rules know a machine's role by; tags hold inside one VPC."""
    return f"{region}-{role}"


class GcpNetwork:
    """
    The VPC of one region. Each machine gets its pod range as an alias range out of the secondary range, so the VPC
    itself delivers pods' packets (https://cloud.google.com/vpc/docs/alias-ip) and no machine routes for another.
    """

    def __init__(self, site: Site, place: GcpProvider, opts: pulumi.ResourceOptions) -> None:
        region = site.plan
        self._name = region.name
        self._opts = opts
        self.network = GcpResource(
            "Network",
            f"{region.name}-network",
            # Explicit, because the cluster's packets are planned for it.
            {"autoCreateSubnetworks": False, "mtu": region.lan_mtu, "routingMode": "REGIONAL"},
            opts,
        )
        self.subnetwork = GcpResource(
            "Subnetwork",
            f"{region.name}-subnetwork",
            {
                "network": self.network.id,
                "region": place.region,
                "ipCidrRange": str(region.machine_cidr),
                "secondaryIpRanges": [{"rangeName": PODS, "ipCidrRange": str(region.machine_pod_cidr)}],
                # Google's own services are reached without a public address, and without paying for the NAT.
                "privateIpGoogleAccess": True,
            },
            opts,
        )
        if region.mode == "gateway":
            self._inside(site)

    def _inside(self, site: Site) -> None:
        """
        What the cluster's machines and pods send each other. The tailnet's policy decides what of another region gets
        here at all; it comes from the gateways with the sender's own address, which is what these rules see. With
        mode: per-node nothing of the cluster passes the VPC in plain text, so nothing is opened.
        """
        region = site.plan
        everything: _Allows = [{"protocol": "all"}]
        self._firewall("from-region", everything, [region.node_cidr, region.pod_cidr], None)
        if site.remote:
            self._firewall("from-remote", everything, site.remote, None)
            if region.health_sources:
                probes: _Allows = [{"protocol": "tcp", "ports": [str(HEALTH_PORT)]}]
                self._firewall("from-balancer", probes, region.health_sources, "gateway")

    def open(
        self, role: Role, ingress: Sequence[FirewallRule], opts: pulumi.ResourceOptions
    ) -> pulumi.Resource | None:
        """
        One firewall rule for each port: a rule is every one of its ports for every one of its sources, so two ports
        with other sources in one rule would open more than the stack file says.
        """
        sources: dict[tuple[str, int], list[IPv4Network]] = defaultdict(list)
        for rule in ingress:
            sources[rule.protocol, rule.port].append(rule.source)
        made = [
            self._firewall(
                f"{role}-{protocol}-{port}", [{"protocol": protocol, "ports": [str(port)]}], found, role, opts
            )
            for (protocol, port), found in sorted(sources.items())
        ]
        return made[0] if made else None

    def _firewall(
        self,
        name: str,
        allows: _Allows,
        sources: Sequence[IPv4Network],
        role: Role | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> GcpResource:
        target = {"targetTags": [network_tag(self._name, role)]} if role else {}
        return GcpResource(
            "Firewall",
            f"{self._name}-{name}",
            {
                "network": self.network.id,
                "direction": "INGRESS",
                "allows": list(allows),
                "sourceRanges": sorted({str(source) for source in sources}),
                **target,
            },
            opts or self._opts,
        )

    def nat(self, place: GcpProvider, opts: pulumi.ResourceOptions) -> GcpResource:
        """
        The way to the internet for machines without a public address. Node addresses only: pods take their machine's
        on the way out.
        """
        router = GcpResource(
            "Router", f"{self._name}-router", {"network": self.network.id, "region": place.region}, opts,
            outputs=["name"],
        )  # fmt: skip
        return GcpResource(
            "RouterNat",
            f"{self._name}-nat",
            {
                "router": router.name,
                "region": place.region,
                "natIpAllocateOption": "AUTO_ONLY",
                "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS",
                "subnetworks": [
                    {"name": self.subnetwork.id, "sourceIpRangesToNats": ["PRIMARY_IP_RANGE"]},
                ],
            },
            opts,
        )
