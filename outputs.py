"""What a stack tells others: the kubeconfig, the address map, the links and the price; and what may never change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pulumi

from components.secrets import secret
from config.schema import KubernetesConfig
from network.plan import NetworkPlan, NodePlan, RegionPlan
from network.prefixes import MAX_GATEWAYS
from network.prices import usd_per_hour

# As many as a region may have gateways.
LINKED_PER_REGION = MAX_GATEWAYS

if TYPE_CHECKING:
    from config.load import Settings
    from stack import Stack


def stack_outputs(settings: Settings, stack: Stack) -> dict[str, Any]:
    """The stack's outputs; only the kubeconfig is a secret."""
    plan = stack.plan
    return {
        "kubeconfig": secret(stack.hub.cluster.kubeconfig),
        "regions": address_map(plan),
        "plan": {
            "mtu": plan.mtu,
            "mss": plan.mss,
            "service_cidr": str(plan.service_cidr),
            "dns_ip": str(plan.dns_ip),
            "node_supernet": str(plan.node_supernet),
            "pod_supernet": str(plan.pod_supernet),
        },
        "kubernetes": {
            "version": settings.stack.kubernetes.version,
            "endpoint": settings.stack.kubernetes.endpoint,
            **({} if plan.control_plane == "kubeadm" else {"control_plane": plan.control_plane}),
        },
        "links": gateway_links(plan),
        # None (and so absent) if a GPU has no price: a sum without it would be too low.
        "usd_per_hour": usd_per_hour(plan),
        # What this cluster was made from; a later preview compares itself with it. It holds no secret.
        "stack": without_order(settings.stack.model_dump(mode="json", exclude_none=True)),
    }


def without_order(value: Any) -> Any:
    """The same with every list sorted: no list of a stack file has a meaning in its order, so none may show."""
    if isinstance(value, dict):
        return {key: without_order(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted(map(without_order, value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


def address_map(plan: NetworkPlan) -> list[dict[str, Any]]:
    """Regions and nodes with their ranges."""
    return [
        {
            "name": region.name,
            "kind": region.kind,
            "mode": region.mode,
            "node_cidr": str(region.node_cidr),
            "pod_cidr": str(region.pod_cidr),
            "reach": region.reach,
            "tag": region.tag,
            "nodes": [
                {
                    "name": node.name,
                    "role": node.role,
                    "device": node.device,
                    "node_ip": str(node.node_ip),
                    "pod_cidr": str(node.pod_cidr),
                    "advertise": [str(prefix) for prefix in node.advertise],
                    **({"group": node.group} if node.group else {}),
                    **({} if _joins(region, node) else {"joins": False}),
                }
                for node in region.nodes
            ],
        }
        for region in plan.regions
    ]


def _joins(region: RegionPlan, node: NodePlan) -> bool:
    """Whether a machine is a Kubernetes node of its own name; beside a cloud's control plane a gateway may be none."""
    return node.role != "gateway" or (region.gateways_join and not region.pool_gateways)


def gateway_links(plan: NetworkPlan) -> list[str]:
    """
    The pairs of devices between which a direct link is expected; `make check` looks at each. Gateways link to those of
    other regions; of a per-node region its first machines do, and to each other: all pairs would be too many to list.
    """
    ends = [(region, node) for region in plan.regions for node in region.devices[:LINKED_PER_REGION]]
    return [
        f"{one.name}-{other.name}"
        for (home, one), (region, other) in combinations(ends, 2)
        if home is not region or region.mode == "per-node"
    ]


def refuse_moved_addresses(stack_name: str, plan: NetworkPlan, kubernetes: KubernetesConfig) -> None:
    """
    Stop a preview that would change the ranges of a running region or move the control plane. Nodes cannot change
    their addresses under running pods, and certificates and etcd hold the control plane's; what the stack's last
    `pulumi up` exported says what is running.
    """
    name = "/".join((pulumi.get_organization(), pulumi.get_project(), stack_name))
    running = pulumi.StackReference("running", stack_name=name)
    running.outputs.apply(lambda outputs: _refuse(outputs or {}, plan, kubernetes))


def _refuse(outputs: Mapping[str, Any], plan: NetworkPlan, kubernetes: KubernetesConfig) -> None:
    found = moved_addresses(outputs.get("regions") or [], address_map(plan))
    found += _changed_cluster(outputs, plan, kubernetes)
    if found:
        raise pulumi.RunError(
            "this change cannot be made to a running cluster:\n  "
            + "\n  ".join(found)
            + "\nWrite the old values back. To move a region, add one under a new name, let it join, "
            "then remove the old."
        )


def _changed_cluster(
    outputs: Mapping[str, Any], plan: NetworkPlan, kubernetes: KubernetesConfig
) -> list[str]:
    running = {**(outputs.get("plan") or {}), **(outputs.get("kubernetes") or {})}
    wanted = {
        "service_cidr": str(plan.service_cidr),
        "node_supernet": str(plan.node_supernet),
        "pod_supernet": str(plan.pod_supernet),
        # In the API server's certificate and in every machine's kubeconfig.
        "endpoint": kubernetes.endpoint,
    }
    found = [
        f"{name}: the running cluster has {running[name]}, the stack file {value}"
        for name, value in wanted.items()
        if running.get(name, value) != value
    ]
    kind = running.get("control_plane", "kubeadm") if running else plan.control_plane
    if kind != plan.control_plane:
        found.append(
            f"control_plane: the running cluster's is {kind}, the stack file says {plan.control_plane}: another one "
            "is another cluster"
        )
    before, after = str(running.get("version", kubernetes.version)), kubernetes.version
    if _minor(before) != _minor(after) and plan.control_plane != "kubeadm":
        # The cloud upgrades its control plane, one minor at a time and never back.
        if _minor(after) != (_minor(before)[0], _minor(before)[1] + 1):
            found.append(
                f"version: the running cluster is v{before}, the stack file says {after}: write the next minor"
            )
    elif _minor(before) != _minor(after):
        found.append(
            f"version: the running cluster is v{before}, the stack file says {after}: another minor needs "
            "`kubeadm upgrade` on the control plane first, which tailspan does not do yet"
        )
    return found


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def moved_addresses(running: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> list[str]:
    """What differs between a running address map and a wanted one, among what may not; removed regions may go."""
    found: list[str] = []
    new = {region["name"]: region for region in wanted}
    for region in ({"mode": "gateway"} | dict(region) for region in running):
        after = new.get(region["name"])
        if after is None:
            if region["kind"] == "cloud":
                found.append(
                    f"region {region['name']}: it holds the control plane and cannot be removed or renamed"
                )
            continue
        for field in ("kind", "mode", "node_cidr", "pod_cidr"):
            if region[field] != after[field]:
                found.append(
                    f"region {region['name']}: {field} is {region[field]} on its machines, "
                    f"the stack file says {after[field]}"
                )
        found += _moved_nodes(region, after)
    return found


def _moved_nodes(region: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    new = {node["name"]: node for node in after["nodes"]}
    for node in region["nodes"]:
        moved = new.get(node["name"])
        if node["role"] == "control-plane" and (moved is None or moved["node_ip"] != node["node_ip"]):
            found.append(
                f"machine {node['name']}: it runs the control plane at {node['node_ip']}; "
                "replacing it would lose the cluster"
            )
        elif moved and (moved["node_ip"], moved["pod_cidr"]) != (node["node_ip"], node["pod_cidr"]):
            found.append(
                f"machine {node['name']}: it runs as {node['node_ip']} with pods in {node['pod_cidr']}, the stack "
                f"file makes it {moved['node_ip']} with {moved['pod_cidr']}: give the machine a new name instead"
            )
        elif moved and node["role"] == "gateway" and moved["role"] == "worker":
            # Its device would stay in the tailnet, and a device that is gone black-holes what it owned there.
            found.append(
                f"machine {node['name']}: it is a gateway of the tailnet, the stack file makes it a plain node: remove "
                "the machine, run `pulumi up`, then add it again without gateway: true"
            )
        elif moved and moved.get("group") and "group" not in node:
            # Until then every node of a group had resources of its own, whose deletion would take the new ones along.
            found.append(
                f"machine {node['name']}: it was made before node groups were one resource (docs/adr/0018); write "
                f"count: 0 for group {moved['group']}, run `pulumi up`, then write the old count"
            )
    return found
