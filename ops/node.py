"""A machine's Node object, declared before it registers: the plan decides pod CIDR, labels and taints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ops.errors import HttpError, OpsError
from ops.http import Json
from ops.kube import Kube

NODES = "/api/v1/nodes"
# What an earlier run set, so that a label or taint that leaves the stack also leaves the Node.
DECLARED = "tailspan.dev/declared"
# The token that the machine joined with: another one means that the machine behind the Node was replaced.
JOINED_WITH = "tailspan.dev/joined-with"
# Until the kubelet has reported: with a Node of no capacity in its cache it would refuse its own static pods
# (OutOfpods, pkg/kubelet/lifecycle/predicate.go), and those it never tries again. On registering it only fills in what
# is missing, its first status replaces every one of these (kubelet_node_status.go, nodestatus/setters.go). As much as a
# large machine has, lest something be refused in that second.
UNTIL_REPORTED = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"}
# Nobody schedules anything there meanwhile: without a condition the controller would take the taint not-ready off at
# once (pkg/controller/nodelifecycle: doNoScheduleTaintingPass), with this one it writes unreachable.
NEVER_REPORTED = {
    "type": "Ready",
    "status": "Unknown",
    "reason": "NodeStatusNeverUpdated",
    "message": "declared by tailspan, no kubelet has reported yet",
}
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """What the stack says about one node."""

    name: str
    pod_cidr: str
    provider_id: str
    labels: dict[str, str]
    taints: tuple[dict[str, str], ...]

    @property
    def path(self) -> str:
        return f"{NODES}/{self.name}"

    @property
    def declared(self) -> str:
        keys = [[taint["key"], taint["effect"]] for taint in self.taints]
        return json.dumps({"labels": sorted(self.labels), "taints": sorted(keys)}, separators=(",", ":"))


def condition(node: Json, kind: str = "Ready") -> Json:
    conditions = node.get("status", {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == kind), {})


def is_ready(node: Json) -> bool:
    return bool(condition(node).get("status") == "True")


def is_control_plane(node: Json) -> bool:
    return CONTROL_PLANE in (node["metadata"].get("labels") or {})


def annotation(node: Json, key: str) -> str | None:
    value: str | None = (node["metadata"].get("annotations") or {}).get(key)
    return value


def describe(node: Json | None) -> str:
    """The conditions that matter, for an error."""
    if node is None:
        return "the Node does not exist"
    ready = condition(node)
    if not ready or ready.get("reason") == "NodeStatusNeverUpdated":
        return "the machine has never reported (no kubelet with a certificate yet)"
    text = f"Ready={ready.get('status')} ({ready.get('reason')}: {str(ready.get('message'))[:160]})"
    trouble = [
        entry["type"]
        for entry in node["status"]["conditions"]
        if entry["type"].endswith(("Pressure", "Unavailable")) and entry.get("status") == "True"
    ]
    return text + (f", {', '.join(trouble)}" if trouble else "")


def is_as_declared(node: Json, spec: NodeSpec) -> bool:
    return not changes(node, spec)


def changes(node: Json, spec: NodeSpec) -> Json:
    """The merge patch that makes a Node what the stack says; raises for what can never change."""
    _refuse_immutable(node, spec)
    old = json.loads(annotation(node, DECLARED) or "{}")
    metadata: Json = {}
    present = node["metadata"].get("labels") or {}
    labels: dict[str, str | None] = {k: v for k, v in spec.labels.items() if present.get(k) != v}
    labels |= {key: None for key in old.get("labels", ()) if key not in spec.labels and key in present}
    if labels:
        metadata["labels"] = labels
    if annotation(node, DECLARED) != spec.declared:
        metadata["annotations"] = {DECLARED: spec.declared}
    body: Json = {"metadata": metadata} if metadata else {}
    node_spec = _spec_changes(node.get("spec") or {}, spec, old)
    if node_spec:
        body["spec"] = node_spec
    return body


def _spec_changes(current: Json, spec: NodeSpec, old: Json) -> Json:
    changed: Json = {}
    if not current.get("podCIDR"):
        changed |= {"podCIDR": spec.pod_cidr, "podCIDRs": [spec.pod_cidr]}
    if not current.get("providerID") and spec.provider_id:
        changed["providerID"] = spec.provider_id
    ours = {(taint["key"], taint["effect"]) for taint in spec.taints}
    ours |= {tuple(pair) for pair in old.get("taints", ())}
    # Everybody else's taints stay: Kubernetes writes its own for nodes that are not ready or cordoned.
    others = [taint for taint in current.get("taints") or [] if (taint["key"], taint["effect"]) not in ours]
    wanted = others + list(spec.taints)
    if _comparable(wanted) != _comparable(current.get("taints") or []):
        changed["taints"] = wanted
    return changed


def _comparable(taints: list[dict[str, str]]) -> list[tuple[str, ...]]:
    return sorted((taint["key"], taint["effect"], taint.get("value") or "") for taint in taints)


def _refuse_immutable(node: Json, spec: NodeSpec) -> None:
    current = node.get("spec") or {}
    for field, got, wanted in (
        ("podCIDR", current.get("podCIDR"), spec.pod_cidr),
        ("providerID", current.get("providerID"), spec.provider_id),
    ):
        if got and wanted and got != wanted:
            raise OpsError(
                f"node {spec.name}: step 'declare': its Node exists with {field} {got}, the stack says "
                f"{wanted}, and Kubernetes never changes that; drain and delete the Node, then run this "
                f"again: kubectl delete node {spec.name}"
            )


def declare(kube: Kube, spec: NodeSpec) -> Json:
    """Creates the Node or mends it; returns it as it is now."""
    for _ in range(5):
        node = kube.find(spec.path)
        try:
            if node is None:
                return kube.create(NODES, _new(spec))
            if not (node.get("status") or {}).get("allocatable"):
                # Declared before Nodes got a capacity, or by somebody else, and never reported since.
                status = _status() | {"metadata": {"resourceVersion": node["metadata"]["resourceVersion"]}}
                node = kube.patch(f"{spec.path}/status", status)
            body = changes(node, spec)
            if not body:
                return node
            # The version makes a taint that Kubernetes adds at this moment a conflict instead of a loss.
            body.setdefault("metadata", {})["resourceVersion"] = node["metadata"]["resourceVersion"]
            return kube.patch(spec.path, body)
        except HttpError as error:
            if error.status != 409:
                raise
    raise OpsError(
        f"node {spec.name}: step 'declare': its Node changed five times while it was written; try again"
    )


def _new(spec: NodeSpec) -> Json:
    node_spec: dict[str, Any] = {"podCIDR": spec.pod_cidr, "podCIDRs": [spec.pod_cidr]}
    if spec.provider_id:
        node_spec["providerID"] = spec.provider_id
    if spec.taints:
        node_spec["taints"] = list(spec.taints)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": spec.name, "labels": spec.labels, "annotations": {DECLARED: spec.declared}},
        "spec": node_spec,
        **_status(),
    }


def _status() -> Json:
    return {
        "status": {
            "capacity": dict(UNTIL_REPORTED),
            "allocatable": dict(UNTIL_REPORTED),
            "conditions": [dict(NEVER_REPORTED)],
        }
    }
