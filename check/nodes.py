"""Nodes as planned, and what the API server does through their kubelets."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from check.cluster import Cluster, Pod
from check.manifests import Json
from check.result import Result
from check.stack import Node, Region, Stack

OWN = "node-restriction.kubernetes.io/tailspan-region"
NODES, LOGS, EXEC, PROBES = "nodes", "kubectl logs", "kubectl exec", "probe pods"


def judge_nodes(stack: Stack, nodes: list[Json], server_version: str) -> list[Result]:
    found = {node["metadata"]["name"]: node for node in nodes}
    results = [_region(region, found, server_version) for region in stack.regions]
    # A cloud that runs the control plane has nodes of its own; ours are labelled by the operator.
    ours = {name for name, node in found.items() if OWN in (node["metadata"].get("labels") or {})}
    if extra := sorted((ours if stack.managed else set(found)) - {node.name for node in stack.nodes}):
        cause = "a machine that the stack forgot; `kubectl delete node` it, or run `pulumi up`"
        results.append(Result(name=NODES, subject="others", ok=False, detail=", ".join(extra), cause=cause))
    return results


def _region(region: Region, found: dict[str, Json], server_version: str) -> Result:
    problems: list[tuple[str, str]] = []
    for node in region.joined:
        problems += _node_problems(node, region, found.get(node.name), server_version)
    detail = "; ".join(f"{what}" for what, _ in problems) or f"{len(region.joined)} Ready, {server_version}"
    cause = problems[0][1] if problems else ""
    return Result(name=NODES, subject=region.name, ok=not problems, detail=detail, cause=cause)


def _node_problems(
    node: Node, region: Region, live: Json | None, server_version: str
) -> list[tuple[str, str]]:
    if live is None:
        return [(f"{node.name} is missing", "it never joined: `pulumi up`, then its kubelet's log")]
    status, found = live["status"], []
    ready: Json = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
    if ready.get("status") != "True":
        why = f"{ready.get('reason', 'never reported')}"
        found.append(
            (
                f"{node.name} is not Ready ({why})",
                f"{ready.get('message') or 'kubelet of ' + node.name}"[:160],
            )
        )
    addresses = [a["address"] for a in status.get("addresses") or () if a["type"] == "InternalIP"]
    if addresses != [str(node.node_ip)]:
        outside = (
            "" if all(_inside(a, region.node_cidr) for a in addresses) else f", outside {region.node_cidr}"
        )
        found.append(
            (f"{node.name} has node IP {', '.join(addresses) or 'none'}{outside}", "--node-ip of its kubelet")
        )
    if live["spec"].get("podCIDR") != str(node.pod_cidr):
        got = live["spec"].get("podCIDR")
        found.append((f"{node.name} has pod CIDR {got}, planned {node.pod_cidr}", "raise its `generation`"))
    version = status.get("nodeInfo", {}).get("kubeletVersion", "")
    if version.split(".")[:2] != server_version.split(".")[:2]:
        found.append((f"{node.name} runs {version or 'unknown'}", f"the control plane runs {server_version}"))
    return found + _gpu_problems(node.name, live)


# A label that only the operator sets, where GPUs are to be offered to pods.
GPU_SOFTWARE = "node-restriction.kubernetes.io/tailspan-gpu-software"


def _gpu_problems(name: str, live: Json) -> list[tuple[str, str]]:
    labels = live["metadata"].get("labels") or {}
    wanted = labels.get("tailspan.dev/gpu-count")
    offered = (live["status"].get("allocatable") or {}).get("nvidia.com/gpu", "0")
    if GPU_SOFTWARE not in labels or offered == wanted:
        return []
    cause = f"NVIDIA's device plugin on {name} (its pod's log), or a GPU that failed (Xid in dmesg)"
    return [(f"{name} offers {offered} of {wanted} GPUs", cause)]


def _inside(address: str, network: IPv4Network) -> bool:
    try:
        return IPv4Address(address) in network
    except ValueError:
        return False


def judge_probes(missing: dict[str, str], pods: dict[str, Pod], stack: Stack) -> list[Result]:
    """Every planned node runs a pod with an address of its own pod CIDR."""
    ranges = {node.name: node.pod_cidr for node in stack.nodes}
    wrong = [pod for pod in pods.values() if not _inside(pod.ip, ranges[pod.node])]
    results = [
        Result(name=PROBES, subject=node, ok=False, detail="not running", cause=cause)
        for node, cause in missing.items()
    ]
    results += [
        Result(
            name=PROBES,
            subject=pod.node,
            ok=False,
            detail=f"has address {pod.ip}, outside {ranges[pod.node]}",
            cause="CNI configuration of the node (host-local range)",
        )
        for pod in wrong
    ]
    return results or [Result(name=PROBES, subject="all nodes", ok=True, detail=f"{len(pods)} running")]


def logs_and_exec(cluster: Cluster, region: Region, pods: dict[str, Pod]) -> list[Result]:
    """Through the API server to the kubelet and back: on an ordinary node and on a gateway of the region."""
    chosen = {node.role: node for node in region.ordinary_first if node.name in pods}
    results = []
    for node in chosen.values():
        pod, cause = pods[node.name], ""
        try:
            text = cluster.logs(pod.name)
        except Exception as error:
            text, cause = "", f"{error}".replace("\n", " ")[:160]
        detail = f"{len(text.splitlines())} lines" if text else "nothing"
        results.append(
            Result(name=LOGS, subject=node.name, ok=bool(text), detail=detail, cause=_kubelet(cause, text))
        )
        run = cluster.exec(pod.name, ["echo", node.name], timeout=15)
        ok = run.ok and run.out.strip() == node.name
        cause = "" if ok else _kubelet(run.trouble, "")
        results.append(Result(name=EXEC, subject=node.name, ok=ok, cause=cause, seconds=run.seconds))
    return results


def _kubelet(cause: str, text: str) -> str:
    hint = "the API server's way to port 10250 of the node (grants, gateway, firewall)"
    return "" if text else f"{cause or 'empty'}: {hint}"
