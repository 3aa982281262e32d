"""The stack's outputs as the checks see them: regions, nodes and the planned MTU."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from check.result import CheckError

# Above this many nodes only gateways, control planes and a few workers of each region take part: one for a region with
# gateways, more where each of them is a device of its own.
ALL_NODES = 10
WORKERS = {"gateway": 1, "per-node": 4}
ROLE_ORDER = {"worker": 0, "control-plane": 1, "gateway": 2}


@dataclass(frozen=True, kw_only=True)
class Node:
    name: str
    role: str
    region: str
    node_ip: IPv4Address
    pod_cidr: IPv4Network
    device: bool
    # Whether it is a Kubernetes node under this name; a gateway beside a cloud's control plane may be none.
    joins: bool = True

    def is_host(self, hostname: str) -> bool:
        """A machine's second generation calls itself `<name>-g2` in the tailnet."""
        return bool(re.fullmatch(re.escape(self.name) + r"(-g\d+)?", hostname.lower()))


@dataclass(frozen=True, kw_only=True)
class Region:
    name: str
    kind: str
    mode: str
    node_cidr: IPv4Network
    pod_cidr: IPv4Network
    nodes: tuple[Node, ...]

    @property
    def devices(self) -> tuple[Node, ...]:
        """The region's devices in the tailnet: its gateways, or all of its nodes."""
        return tuple(node for node in self.nodes if node.device)

    @property
    def joined(self) -> tuple[Node, ...]:
        """Those that are Kubernetes nodes."""
        return tuple(node for node in self.nodes if node.joins)

    @property
    def workers(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.role == "worker")

    @property
    def ordinary_first(self) -> tuple[Node, ...]:
        """Traffic of an ordinary node takes the whole way: its LAN, its gateway, the tunnel."""
        return tuple(sorted(self.joined, key=lambda node: ROLE_ORDER[node.role]))


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What is planned; everything measured is compared with it."""

    regions: tuple[Region, ...]
    mtu: int
    mss: int
    service_cidr: IPv4Network
    node_supernet: IPv4Network
    pod_supernet: IPv4Network
    kubeconfig: str

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(node for region in self.regions for node in region.nodes)

    @property
    def managed(self) -> bool:
        """Whether a cloud runs the control plane, and has nodes of its own in the cluster."""
        return all(node.role != "control-plane" for node in self.nodes)

    @property
    def participants(self) -> tuple[Node, ...]:
        nodes = tuple(node for node in self.nodes if node.joins)
        if len(nodes) <= ALL_NODES:
            return nodes
        workers = {node for region in self.regions for node in region.workers[: WORKERS[region.mode]]}
        return tuple(node for node in nodes if node.role != "worker" or node in workers)

    @property
    def linked(self) -> tuple[Node, ...]:
        """The devices whose links are looked at."""
        return tuple(node for node in self.participants if node.device)

    @property
    def peers(self) -> tuple[Node, ...]:
        """The devices that a link is expected to, also those that no command can be run on."""
        return (*self.linked, *(node for node in self.nodes if node.device and not node.joins))

    def region(self, name: str) -> Region:
        return next(region for region in self.regions if region.name == name)

    def is_inside(self, address: IPv4Address) -> bool:
        """Whether an address belongs to the cluster, so that a tunnel to it would run inside a tunnel."""
        ours = [self.service_cidr, *(r.node_cidr for r in self.regions), *(r.pod_cidr for r in self.regions)]
        return any(address in network for network in ours)


def parse(outputs: Mapping[str, Any], kubeconfig: str | None = None) -> Stack:
    """`kubeconfig` replaces the one of the outputs."""
    try:
        plan = outputs["plan"]
        return Stack(
            regions=tuple(_region(region) for region in outputs["regions"]),
            mtu=int(plan["mtu"]),
            mss=int(plan["mss"]),
            service_cidr=IPv4Network(plan["service_cidr"]),
            node_supernet=IPv4Network(plan["node_supernet"]),
            pod_supernet=IPv4Network(plan["pod_supernet"]),
            kubeconfig=kubeconfig or _text(outputs["kubeconfig"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckError(
            f"stack outputs: {type(error).__name__} {error}; write `pulumi stack output -j --show-secrets`"
        ) from None


def _text(value: object) -> str:
    if not isinstance(value, str) or value == "[secret]":
        raise CheckError("stack outputs: kubeconfig is hidden; add --show-secrets, or give --kubeconfig FILE")
    return value


def _region(region: Mapping[str, Any]) -> Region:
    return Region(
        name=region["name"],
        kind=region["kind"],
        mode=region.get("mode", "gateway"),
        node_cidr=IPv4Network(region["node_cidr"]),
        pod_cidr=IPv4Network(region["pod_cidr"]),
        nodes=tuple(
            Node(
                name=node["name"],
                role=node["role"],
                region=region["name"],
                node_ip=IPv4Address(node["node_ip"]),
                pod_cidr=IPv4Network(node["pod_cidr"]),
                device=node.get("device", node["role"] == "gateway"),
                joins=node.get("joins", True),
            )
            for node in region["nodes"]
        ),
    )


def read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except (OSError, ValueError) as error:
        raise CheckError(f"--outputs {path}: {error}") from None
    if not isinstance(document, dict):
        raise CheckError(f"--outputs {path}: a JSON object is expected")
    return document
