"""Bounded waits for the cluster, and what to say when they end badly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from lab.plugins.base import Call, PluginError
from lab.plugins.kubernetes.client import Cluster
from lab.plugins.kubernetes.kinds import KubernetesKind

POLL_SECONDS = 0.5
PODS_NAMED = 5
EVENTS_SHOWN = 5


class RolloutFailed(PluginError):
    pass


def wait_until_rolled_out(
    call: Call, cluster: Cluster, kind: KubernetesKind, path: str, seconds: float
) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        live = cluster.get(path)
        if live is None:
            raise RolloutFailed(
                f"{kind.kind} {path.rsplit('/', 1)[-1]} was deleted by somebody else during its rollout"
            )
        missing = _daemonset_missing(live) if kind.wait == "daemonset" else _deployment_missing(live)
        if not missing:
            return live
        if time.monotonic() > deadline:
            why = "\n".join(f"  {line}" for line in _explain(cluster, kind, live))
            raise RolloutFailed(
                f"{kind.kind} {_name(live)}: not rolled out after {seconds:.0f} s: {missing}\n{why}"
            )
        call.log(f"waiting: {missing}", passing=True)
        if call.cancelled.wait(POLL_SECONDS):
            raise RolloutFailed(f"{kind.kind} {_name(live)}: cancelled before it was rolled out: {missing}")


def _daemonset_missing(live: dict[str, Any]) -> str:
    status, generation = live.get("status") or {}, live["metadata"].get("generation", 0)
    if status.get("observedGeneration", 0) < generation:
        return "the controller has not seen it yet"
    desired = status.get("desiredNumberScheduled", 0)
    ready = min(status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0))
    return "" if ready >= desired else f"{ready} of {desired} pods are ready"


def _deployment_missing(live: dict[str, Any]) -> str:
    status, generation = live.get("status") or {}, live["metadata"].get("generation", 0)
    if status.get("observedGeneration", 0) < generation:
        return "the controller has not seen it yet"
    wanted = live["spec"].get("replicas", 1)
    ready = min(status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
    extra = status.get("replicas", 0) - wanted
    if ready < wanted:
        return f"{ready} of {wanted} pods are ready"
    return f"{extra} old pods are still there" if extra > 0 else ""


def _explain(cluster: Cluster, kind: KubernetesKind, live: dict[str, Any]) -> Iterator[str]:
    """Which pods, what their containers wait for, and the cluster's last words about them."""
    namespace = live["metadata"]["namespace"]
    labels = (live["spec"].get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = (cluster.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector) or {}).get(
        "items"
    ) or []
    unready = [pod for pod in pods if not _is_ready(pod)]
    for pod in unready[:PODS_NAMED]:
        node = (pod.get("spec") or {}).get("nodeName") or "no node"
        yield f"pod {_name(pod)} on {node}: {'; '.join(_reasons(pod)) or 'not ready'}"
    if len(unready) > PODS_NAMED:
        yield f"and {len(unready) - PODS_NAMED} more pods"
    about = {_name(live), *(_name(pod) for pod in unready)}
    events = (cluster.get(f"/api/v1/namespaces/{namespace}/events") or {}).get("items") or []
    relevant = [
        event
        for event in events
        if event["involvedObject"].get("name") in about and event.get("type") == "Warning"
    ]
    for event in sorted(relevant, key=lambda event: str(event.get("lastTimestamp")))[-EVENTS_SHOWN:]:
        yield f"event on {event['involvedObject'].get('name')}: {event.get('reason')}: {event.get('message')}"


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _reasons(pod: dict[str, Any]) -> Iterator[str]:
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state = container.get("state") or {}
        if state.get("waiting"):
            waiting = state["waiting"]
            why = f"{waiting.get('reason')} {waiting.get('message') or ''}".rstrip()
            yield f"container {container['name']}: {why}"
        elif (state.get("terminated") or {}).get("exitCode"):
            yield f"container {container['name']}: exited with {state['terminated']['exitCode']}"
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"not scheduled: {condition.get('message')}"


def wait_until_gone(call: Call, cluster: Cluster, kind: KubernetesKind, path: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (live := cluster.get(path)) is not None:
        finalizers = live["metadata"].get("finalizers") or (live.get("spec") or {}).get("finalizers") or []
        if time.monotonic() > deadline or call.cancelled.wait(POLL_SECONDS):
            waits_for = f"its finalizers: {', '.join(finalizers)}" if finalizers else "its controller"
            raise PluginError(
                f"{kind.kind} {_name(live)}: still there after {seconds:.0f} s, it waits for {waits_for}"
            )
        call.log("waiting until it is gone", passing=True)


def _name(live: dict[str, Any]) -> str:
    return str(live["metadata"]["name"])
