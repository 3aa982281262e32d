"""The regions that a stack joins, as the rules see them: from its address map, or from what its gateways advertise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from pulumi_policy import PolicyResource

from .gateways import Stack
from .known import ADDRESS_MAP, AWS_EKS, CLOUD_REGION, GCP_CLUSTER
from .manifests import at, mappings


@dataclass(frozen=True)
class Region:
    """A region's ranges; `nodes` and `pods` are told apart only by an address map."""

    name: str
    ranges: tuple[IPv4Network, ...]
    nodes: IPv4Network | None = None
    pods: IPv4Network | None = None

    def owns(self, cidr: IPv4Network) -> bool:
        return any(cidr.overlaps(own) for own in self.ranges)


def regions_of(stack: Stack) -> list[Region]:
    """Those of the address map; a stack without one has a region for each set of gateways with common prefixes."""
    for resource in stack.resources:
        if resource.resource_type == ADDRESS_MAP:
            rows = mappings(at(resource.props, "regions"))
            return [
                _mapped(str(at(row, "name")), str(at(row, "nodeCidr")), str(at(row, "podCidr")))
                for row in rows
            ]
    return _inferred(stack)


def hub_of(stack: Stack, regions: Sequence[Region]) -> Region | None:
    """The region with the control plane, where the stack says so."""
    names = {resource.name for resource in stack.resources if resource.resource_type == CLOUD_REGION}
    return next((region for region in regions if region.name in names), None)


def api_service(resources: Sequence[PolicyResource]) -> str:
    """Where a stack's API server listens: kubeadm's port, or a cloud's."""
    managed = any(resource.resource_type in (GCP_CLUSTER, AWS_EKS) for resource in resources)
    return "tcp:443" if managed else "tcp:6443"


def _mapped(name: str, nodes: str, pods: str) -> Region:
    ranges = (IPv4Network(nodes, strict=False), IPv4Network(pods, strict=False))
    return Region(name, ranges, *ranges)


def _inferred(stack: Stack) -> list[Region]:
    """Gateways of one region advertise the same blocks at different lengths."""
    groups: list[tuple[str, set[IPv4Network]]] = []
    for gateway in stack.gateways:
        for routes in gateway.routes:
            prefixes = set(routes.prefixes)
            touching = [group for group in groups if _touch(group[1], prefixes)]
            name = touching[0][0] if touching else f"of {routes.gateway}"
            groups = [group for group in groups if group not in touching]
            groups.append((name, prefixes.union(*(group[1] for group in touching))))
    return [Region(name, tuple(sorted(prefixes))) for name, prefixes in groups if prefixes]


def _touch(some: set[IPv4Network], others: set[IPv4Network]) -> bool:
    return any(one.overlaps(other) for one in some for other in others)
