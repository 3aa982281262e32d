"""Takes a node out of the cluster: cordon, evict, delete its Node."""

from __future__ import annotations

import os
import sys
from functools import partial

from ops.errors import HttpError, OpsError, Unreachable
from ops.http import Json
from ops.kube import Kube
from ops.node import NODES, describe, is_control_plane, is_ready
from ops.wait import Deadline, until_answered

# A delete runs the command and input stored at create: the way out of an endless drain is the environment.
SKIP_DRAIN = "TAILSPAN_DRAIN"
MIRROR = "kubernetes.io/config.mirror"


def leave(kube: Kube, name: str, *, api_timeout: float, drain_timeout: float) -> bool:
    """False if there was no such node; whatever is already gone is fine."""
    deadline = Deadline(api_timeout)
    step = f"node {name}: step 'reach the API server {kube.server}'"
    node = until_answered(lambda: kube.find(f"{NODES}/{name}"), deadline, step)
    if node is None:
        return False
    if is_control_plane(node):
        raise OpsError(refusal(name))
    until_answered(partial(_cordon, kube, name), deadline, f"node {name}: step 'cordon'")
    drain(kube, name, node, drain_timeout)
    deadline = Deadline(api_timeout)
    until_answered(lambda: kube.delete(f"{NODES}/{name}"), deadline, f"node {name}: step 'delete the Node'")
    return True


def refusal(name: str) -> str:
    return f"node {name}: it is the control plane and cannot leave; destroy the whole stack instead"


def _cordon(kube: Kube, name: str) -> None:
    try:
        kube.patch(f"{NODES}/{name}", {"spec": {"unschedulable": True}})
    except HttpError as error:
        if error.status != 404:
            raise


def drain(kube: Kube, name: str, node: Json, timeout: float) -> None:
    """Evicts what would be lost, within disruption budgets; raises if the pods do not go in time."""
    if os.environ.get(SKIP_DRAIN) == "skip":
        print(f"node {name}: not drained ({SKIP_DRAIN}=skip)", file=sys.stderr)
        return
    deadline, refusals = Deadline(timeout), dict[str, str]()
    step = f"node {name}: step 'drain'"
    current: Json | None = node
    while True:
        if current is None or not is_ready(current):
            # Nobody there can stop a pod: the machine is gone, or its region was cut off while it drained.
            # Kubernetes starts the pods elsewhere once the Node is deleted.
            print(f"node {name}: not drained, {describe(current)}", file=sys.stderr)
            return
        pods = until_answered(lambda: _evictable(kube, name), deadline, step)
        if not pods:
            return
        if deadline.expired:
            raise OpsError(_stuck(name, pods, refusals, timeout))
        for pod in pods:
            if not pod["metadata"].get("deletionTimestamp"):
                _evict(kube, pod, refusals)
        deadline.pause()
        current = until_answered(lambda: kube.find(f"{NODES}/{name}"), deadline, step)


def _evictable(kube: Kube, name: str) -> list[Json]:
    pods = kube.list("/api/v1/pods", fieldSelector=f"spec.nodeName={name}")
    return [pod for pod in pods if is_evictable(pod)]


def is_evictable(pod: Json) -> bool:
    metadata = pod["metadata"]
    owners = {owner["kind"] for owner in metadata.get("ownerReferences") or () if owner.get("controller")}
    static = MIRROR in (metadata.get("annotations") or {}) or "Node" in owners
    finished = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not (static or finished or "DaemonSet" in owners)


def _evict(kube: Kube, pod: Json, refusals: dict[str, str]) -> None:
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        # A pod of the same name that was started meanwhile is not ours to stop.
        "deleteOptions": {"preconditions": {"uid": pod["metadata"]["uid"]}},
    }
    try:
        kube.create(f"/api/v1/namespaces/{namespace}/pods/{name}/eviction", body)
    except (Unreachable, HttpError) as error:
        if isinstance(error, HttpError) and error.status in (404, 409):
            return
        if isinstance(error, HttpError) and not error.transient:
            raise OpsError(f"pod {namespace}/{name}: step 'evict': {error}") from error
        # 429: a disruption budget says not yet.
        refusals[f"{namespace}/{name}"] = str(error).rpartition(": ")[2]


def _stuck(node: str, pods: list[Json], refusals: dict[str, str], timeout: float) -> str:
    names = [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods]
    parts = [f"{name} ({refusals.get(name, 'still stopping')})" for name in names]
    return (
        f"node {node}: step 'drain': {len(parts)} pods are still there after {timeout:.0f} s: "
        f"{', '.join(parts[:8])}; give them another place or loosen their PodDisruptionBudget and run again, "
        f"or set {SKIP_DRAIN}=skip to delete the node with them on it"
    )
