"""The tunnels between the tailnet's devices: direct, and not inside another tunnel."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from check.cluster import Cluster, Pod
from check.manifests import Json
from check.result import Result
from check.stack import Node, Stack

LINKS = "gateway links direct"
NAMESPACE, CONTAINER = "tailscale", "tailscale"
APPS = ("subnet-router", "apiserver-connector")
SOCKET = "/run/tailscale/tailscaled.sock"
MARK = "=== status"
# A static pod that ran before its namespace was there shows in the API when its kubelet looks again, after 90 s at most
# (kubelet: syncFrequency of a minute, with jitter).
SHOWN_WITHIN = 100
OFTEN = 2.0


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The pod in which a gateway's tailscaled runs."""

    pod: Pod
    socket: str


def gateways(cluster: Cluster) -> dict[str, Gateway]:
    """By node; the pods of the DaemonSet and the static pods."""
    found = {}
    for pod in cluster.pods(f"app in ({','.join(APPS)})", NAMESPACE):
        node = pod["spec"].get("nodeName")
        if node and not pod["metadata"].get("deletionTimestamp"):
            address = pod.get("status", {}).get("podIP", "")
            ours = Pod(name=pod["metadata"]["name"], node=node, ip=address)
            found[node] = Gateway(pod=ours, socket=_socket(pod))
    return found


def await_gateways(cluster: Cluster, nodes: Sequence[Node], timeout: float) -> dict[str, Gateway]:
    """The same, once each of these devices has its pod there; after the time whatever there is."""
    end = time.monotonic() + timeout
    while True:
        found = gateways(cluster)
        if {node.name for node in nodes} <= found.keys() or time.monotonic() > end:
            return found
        time.sleep(OFTEN)


def _socket(pod: Json) -> str:
    container: Json = next((c for c in pod["spec"]["containers"] if c["name"] == CONTAINER), {})
    values = (e.get("value") for e in container.get("env") or () if e["name"] == "TS_SOCKET")
    return next(values, None) or SOCKET


def check_links(cluster: Cluster, stack: Stack, node: Node, gateway: Gateway | None) -> list[Result]:
    """A device's links to those of other regions, and in a per-node region to its neighbours."""
    others = [peer for peer in stack.peers if peer.region != node.region]
    if stack.region(node.region).mode == "per-node":
        others += [peer for peer in stack.peers if peer.region == node.region and peer != node]
    if gateway is None:
        cause = f"no running pod {' or '.join(APPS)} on {node.name}"
        return [Result(name=LINKS, subject=node.name, ok=False, detail="not asked", cause=cause)]
    cli = f"tailscale --socket={gateway.socket}"
    first = _shell(cluster, gateway, f"{cli} status --json")
    peers = _peers(first)
    if peers is None:
        return [
            Result(name=LINKS, subject=node.name, ok=False, detail="no tailscale status", cause=first[-160:])
        ]
    addresses = [_address(peer) for other in others if (peer := _find(peers, other))]
    # A ping makes both ends look for a direct path; without traffic there is none to see.
    pings = "".join(
        f"{cli} ping --c 8 --timeout 1s {address} >/dev/null 2>&1 & " for address in addresses if address
    )
    text = _shell(cluster, gateway, f"{pings} wait; echo '{MARK}'; {cli} status --json")
    peers = _peers(text.partition(MARK)[2]) or {}
    return [judge(stack, node, other, _find(peers, other)) for other in others]


def judge(stack: Stack, node: Node, other: Node, peer: Json | None) -> Result:
    subject = f"{node.name} to {other.name}"
    detail, cause = "", ""
    if peer is None:
        detail, cause = (
            "not a peer",
            f"{other.name} is not in the tailnet, or no grant lets {node.name} reach it",
        )
    elif not peer.get("Online", True):
        detail, cause = "offline", f"tailscaled of {other.name} has no contact with the control server"
    elif current := peer.get("CurAddr"):
        detail = f"direct, {current}"
        # Neighbours of a per-node region may meet on their LAN.
        lan = node.region == other.region and _host(current) == other.node_ip
        if stack.is_inside(_host(current)) and not lan:
            cause = (
                f"a tunnel inside a tunnel: {current} is a cluster address; drop UDP 41641 on CNI interfaces"
            )
    elif peer.get("PeerRelay"):
        detail, cause = f"peer relay {peer['PeerRelay']}", _closed(node, other)
    else:
        detail, cause = f"DERP relay {peer.get('Relay') or 'unknown'}", _closed(node, other)
    return Result(name=LINKS, subject=subject, ok=not cause, detail=detail, cause=cause)


def _closed(node: Node, other: Node) -> str:
    return (
        f"UDP 41641 closed towards {other.name} (gateway_firewall of {other.region}) and towards {node.name} "
        f"({node.region}), or hard NAT on both sides"
    )


def _host(address: str) -> IPv4Address:
    try:
        return IPv4Address(address.rpartition(":")[0])
    except AddressValueError:
        return IPv4Address(0)


def _shell(cluster: Cluster, gateway: Gateway, command: str) -> str:
    run = cluster.exec(
        gateway.pod.name, ["sh", "-c", command], namespace=NAMESPACE, container=CONTAINER, timeout=20
    )
    return run.out or run.trouble


def _peers(text: str) -> Mapping[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document.get("Peer") or {}


def _find(peers: Mapping[str, Any], node: Node) -> Json | None:
    """Several devices may carry the name of one machine that was made anew: the one that is online counts."""
    found = [peer for peer in peers.values() if node.is_host(peer.get("HostName", ""))]
    return max(found, key=lambda peer: bool(peer.get("Online")), default=None)


def _address(peer: Json) -> str:
    return next((ip for ip in peer.get("TailscaleIPs") or () if "." in ip), "")


def tunnel_bytes(cluster: Cluster, pod: Pod) -> int | None:
    """What went through a gateway's tunnel so far, both ways."""
    statistics = "/sys/class/net/tailscale0/statistics"
    run = cluster.exec(
        pod.name,
        ["sh", "-c", f"cat {statistics}/rx_bytes {statistics}/tx_bytes"],
        namespace=NAMESPACE,
        container=CONTAINER,
        timeout=15,
    )
    return sum(int(word) for word in run.out.split()) if run.ok else None
