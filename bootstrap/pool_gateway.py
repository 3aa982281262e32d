"""A gateway on a node that a cloud makes: no script of ours prepares it, so a container of its pod does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootstrap.gateway import TAILSCALE_PORT
from bootstrap.images import Images
from network.gcp_rules import balancer_address
from network.managed import GATEWAY_LABEL as LABEL
from network.plan import NetworkPlan, RegionPlan
from network.ports import HEALTH_PORT

_SCRIPT = Path(__file__).parent / "files" / "pool-gateway.sh"
# kube-proxy changes the same tables.
_LOCK = "/run/xtables.lock"


@dataclass(frozen=True, kw_only=True)
class PoolGateway:
    """The only gateway of a region, by its name in the plan; its node's name is the cloud's."""

    name: str
    region: RegionPlan
    plan: NetworkPlan

    @property
    def selector(self) -> dict[str, str]:
        """Which node it runs on: also the one that takes its place after a repair or an upgrade."""
        return {LABEL: self.name}

    @property
    def tolerations(self) -> list[dict[str, str]]:
        """Not those of other gateways: with the taint of a foreign machine this pod never gets onto one."""
        return [{"key": LABEL, "operator": "Equal", "value": self.name, "effect": "NoSchedule"}]

    def prepares(self, images: Images) -> dict[str, Any]:
        """The container that sets up routes and packet filter before Tailscale starts."""
        address = {"name": "NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}
        values = [{"name": name, "value": value} for name, value in sorted(self.values().items())]
        return {
            "name": "network",
            "image": images.tailscale,
            "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/sh", "-c", _SCRIPT.read_text()],
            "env": [address, *values],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
            },
            "volumeMounts": [{"name": "xtables-lock", "mountPath": _LOCK}],
        }

    @property
    def volumes(self) -> list[dict[str, Any]]:
        return [{"name": "xtables-lock", "hostPath": {"path": _LOCK, "type": "FileOrCreate"}}]

    def values(self) -> dict[str, str]:
        """What the script is told, beside the node's address. Nothing of other regions: they come and go."""
        region, plan, ranges = self.region, self.plan, self.region.managed
        if ranges is None:
            raise TypeError(f"region {region.name}: its plan has no ranges for a cloud's nodes")
        balancer = str(balancer_address(region.machine_cidr)) if region.health_sources else ""
        return {
            "OWN": f"{region.node_cidr} {region.pod_cidr} {plan.service_cidr}",
            "SUPERNETS": f"{plan.node_supernet} {plan.pod_supernet}",
            "REGION_POD_CIDR": str(region.pod_cidr),
            "ENDPOINT": str(ranges.endpoint),
            "API_PORT": str(plan.api_port),
            "MSS": str(plan.mss),
            "TAILSCALE_PORT": str(TAILSCALE_PORT),
            "BALANCER": balancer,
            "HEALTH_PORT": str(HEALTH_PORT),
            "HEALTH_SOURCES": " ".join(map(str, region.health_sources)),
        }


def pool_gateway(region: RegionPlan, plan: NetworkPlan) -> PoolGateway | None:
    """None where gateways are machines of the plan."""
    if not region.pool_gateways:
        return None
    (gateway,) = region.gateways
    return PoolGateway(name=gateway.name, region=region, plan=plan)
