"""What the two kinds of region share: their inputs for policies, and SSH openings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

import pulumi

from bootstrap.connector import connector_pod, has_connector
from bootstrap.kubeadm import API_PORT
from bootstrap.script import Cluster
from components.tailnet import Tailnet, hostnames
from config.schema import AccessConfig, FirewallRule
from network.nodes import Role
from network.plan import RegionPlan
from providers.base import RegionProvider
from providers.managed import ClusterMaker

SSH_PORT = 22


@dataclass(frozen=True, kw_only=True)
class RegionArgs:
    """A region of the plan, the place its machines come from, and what the whole stack has in common."""

    plan: RegionPlan
    # Makes the region's network under the component whose options it is given.
    place: Callable[[pulumi.ResourceOptions], RegionProvider]
    cluster: Cluster
    tailnet: Tailnet
    access: AccessConfig
    # Makes the control plane, where a cloud runs it.
    managed: ClusterMaker | None = None


def region_inputs(args: RegionArgs) -> dict[str, Any]:
    """What a region says of itself to policies, also where its provider has no firewall resource."""
    region = args.plan
    # A reason why nobody can dial its gateways; the policies ask for an opening otherwise.
    reason = {"noInbound": region.no_inbound} if region.no_inbound else {}
    return (
        reason
        | _connectors(args)
        | {
            "name": region.name,
            "mode": region.mode,
            "nodeCidr": str(region.node_cidr),
            "podCidr": str(region.pod_cidr),
            "gatewayFirewall": [
                {"protocol": rule.protocol, "port": rule.port, "source": str(rule.source)}
                for rule in region.gateway_firewall
            ],
            # What ceilings are judged by (policy/rules/limits.py).
            "devices": len(region.devices),
            "gpus": sum(node.gpu.count for node in region.nodes if node.gpu),
            "usdPerHour": region.usd_per_hour,
            "podsPerNode": args.cluster.plan.max_pods,
            "podAddressesPerNode": min(node.pod_cidr.num_addresses for node in region.nodes),
        }
    )


def _connectors(args: RegionArgs) -> dict[str, Any]:
    """
    The manifests that the machines' scripts write, for a region that has any. Scripts hold secrets that a first preview
    does not know yet; declared here, the manifests are seen by policies and reviewers before there is a machine.
    """
    region, cluster = args.plan, args.cluster
    pods = {
        node.name: connector_pod(
            node, region, cluster.plan, hostnames(node)[-1], cluster.tailnet, cluster.images
        )
        for node in region.devices
        if has_connector(node, region)
    }
    return {"connectors": pods} if pods else {}


def operator_openings(access: AccessConfig, *, api: bool = False) -> list[FirewallRule]:
    """SSH, and with `api` a public API server, from the operator's addresses and from nowhere else."""
    ports = [SSH_PORT] + ([API_PORT] if api and access.api == "public" else [])
    return [_opening(port, source) for port in ports for source in access.allow]


def _opening(port: int, source: IPv4Network) -> FirewallRule:
    return FirewallRule(protocol="tcp", port=port, source=source)


def machine_firewalls(args: RegionArgs) -> Sequence[tuple[Role, list[FirewallRule]]]:
    """The openings of each role that the region has machines of."""
    region = args.plan
    openings: list[tuple[Role, list[FirewallRule]]] = []
    # What the region opens, it opens towards its devices in the tailnet.
    everywhere = list(region.gateway_firewall) if region.mode == "per-node" else []
    if region.control_plane:
        openings.append(("control-plane", [*everywhere, *operator_openings(args.access, api=True)]))
    if region.gateways:
        # Nobody logs in to a node that a cloud made.
        logins = [] if region.pool_gateways else operator_openings(args.access)
        openings.append(("gateway", [*region.gateway_firewall, *logins]))
    if region.workers:
        openings.append(("worker", [*everywhere, *operator_openings(args.access)]))
    return openings
