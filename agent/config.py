"""The agent's configuration: one JSON file that the program writes, and a key file beside it.

Keys that this version does not know are ignored, so that a newer program may write for an older agent. The file may be
the same on all machines of a region; then the pod's environment says which of them this is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Literal

from agent.ladder import LONGEST_PREFIX

PATH = Path("/etc/tailspan/agent/config.json")
PORT = 41642
HTTP = "127.0.0.1:41643"
SOCKET = "/run/tailscale/tailscaled.sock"
# Kubernetes' downward API fills them in.
NAME_VARIABLE, ADDRESS_VARIABLE = "TAILSPAN_NODE", "TAILSPAN_NODE_IP"
# Which version of its pod this is: whoever replaces one asks for it.
IDENTITY_VARIABLE = "TAILSPAN_IDENTITY"


class ConfigError(ValueError):
    """The file cannot be used; the message names the key, what it holds and what to write."""


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """One of the region's gateways; its place in the list is its number in the ladder, on every machine alike."""

    name: str
    address: IPv4Address


@dataclass(frozen=True, kw_only=True)
class Block:
    """A range of the region, with what lies on each gateway's own machine. `node`: the length of a node's part."""

    prefix: IPv4Network
    longest: int = LONGEST_PREFIX
    own: tuple[IPv4Network, ...] = ()
    node: int | None = None


@dataclass(frozen=True, kw_only=True)
class Target:
    """A gateway of another region, at the address where its agent sends back what it gets."""

    name: str
    region: str
    address: IPv4Address


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds. A peer is silent after `missed` beats: nine lost, and half a beat for jitter."""

    beat: float = 0.08
    missed: float = 9.5
    # How long a gateway that came back must be well before its partners trust it with traffic; doubled on flaps. A
    # fresh tailscaled opens its sockets anew once, within this time (agent/kernel/rebind.py).
    hold: float = 6.0
    # The same for nodes, which return to what is trusted already.
    node_hold: float = 2.0
    longest_hold: float = 60.0

    @property
    def longest_node_hold(self) -> float:
        return self.longest_hold * self.node_hold / self.hold

    @property
    def calm(self) -> float:
        """While all are heard this often, nobody waits for an answer: what comes is read once per beat."""
        return self.beat * 2.5

    @property
    def silence(self) -> float:
        return self.beat * self.missed


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """
    What only a gateway needs. `probes[i][j]`: where gateway j gets back what it sent through gateway i. `targets`:
    gateways elsewhere that are known without a tailnet; all others are found in it, so a new region changes no file.
    """

    blocks: tuple[Block, ...]
    probes: tuple[tuple[IPv4Address, ...], ...]
    targets: tuple[Target, ...] = ()
    socket: str = SOCKET


@dataclass(frozen=True, kw_only=True)
class CloudRoutes:
    """Route tables of Amazon that lead to the gateways: these, or those of the own VPC that have the tag."""

    tables: tuple[str, ...]
    tag: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """Everything an agent knows before it hears anybody."""

    role: Literal["gateway", "node"]
    region: str
    name: str
    node_ip: IPv4Address
    # The range of this machine's own pods.
    pods: IPv4Network
    gateways: tuple[Gateway, ...]
    supernets: tuple[IPv4Network, ...]
    mtu: int
    advmss: int
    key: bytes = field(repr=False)
    reach: Literal["lan", "tunnel"] = "lan"
    tunnel: str = "tailspan0"
    port: int = PORT
    http: str = HTTP
    # Where a gateway answers, to anybody who is let through, whether it carries traffic; nowhere in most places.
    health: str | None = None
    ladder: Ladder | None = None
    cloud_routes: CloudRoutes | None = None
    identity: str = ""
    timing: Timing = Timing()

    @property
    def index(self) -> int:
        """This gateway's number in the ladder."""
        return next(i for i, gateway in enumerate(self.gateways) if gateway.name == self.name)


def load(path: Path = PATH) -> AgentConfig:
    """The configuration of this machine; raises ConfigError."""
    try:
        data = json.loads(path.read_text())
        key = bytes.fromhex(Path(data["key_file"]).read_text().strip())
        data = of_this_machine(data, os.environ)
        return replace(parse(data, key), identity=os.environ.get(IDENTITY_VARIABLE, ""))
    except ConfigError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: {type(error).__name__}: {error}") from error


def of_this_machine(data: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """A region's file with what is this machine's own: name, address, and the range of its pods, which follows."""
    name, address = environment.get(NAME_VARIABLE), environment.get(ADDRESS_VARIABLE)
    if not name or not address:
        return data
    known = {gateway["name"]: gateway.get("address") for gateway in data["gateways"]}
    # A gateway's address is what the others expect of it, whatever the node says of itself. One that a cloud made has
    # its address from the cloud, and nobody in its region expects any.
    address = known.get(name) or address
    gateways = [one | {"address": address} if one["name"] == name else one for one in data["gateways"]]
    return data | {
        "gateways": gateways,
        "role": "gateway" if name in known else "node",
        "name": name,
        "node_ip": address,
        "pods": str(_pods(IPv4Address(address), **data["node_pods"])),
    }


def _pods(address: IPv4Address, node_cidr: str, pod_cidr: str, length: int) -> IPv4Network:
    """Part number N of the region's pod range, where N is the host number of the address (network/plan.py)."""
    first, hosts = IPv4Network(pod_cidr).network_address, IPv4Network(node_cidr)
    if address not in hosts:
        raise ConfigError(
            f"the node has the address {address}; write a --node-ip inside {hosts} for its kubelet"
        )
    host = int(address) - int(hosts.network_address)
    return IPv4Network((int(first) + (host << (32 - length)), length))


def parse(data: dict[str, Any], key: bytes) -> AgentConfig:
    """From JSON's values to the configuration."""
    if len(key) < 16:
        raise ConfigError(f"the key has {len(key)} bytes; write at least 32 hexadecimal digits")
    role = data["role"]
    if role not in ("gateway", "node"):
        raise ConfigError(f"role is {role!r}; write gateway or node")
    gateways = tuple(
        Gateway(name=item["name"], address=IPv4Address(item["address"])) for item in data["gateways"]
    )
    if role == "gateway" and data["name"] not in [gateway.name for gateway in gateways]:
        raise ConfigError(f"name {data['name']!r} is none of the gateways {[one.name for one in gateways]}")
    return AgentConfig(
        role=role,
        region=data["region"],
        name=data["name"],
        node_ip=IPv4Address(data["node_ip"]),
        pods=IPv4Network(data["pods"]),
        gateways=gateways,
        supernets=tuple(IPv4Network(item) for item in data["supernets"]),
        mtu=int(data["mtu"]),
        advmss=int(data["advmss"]),
        key=key,
        reach=data.get("reach", "lan"),
        tunnel=data.get("tunnel", "tailspan0"),
        port=int(data.get("port", PORT)),
        http=data.get("http", HTTP),
        health=data.get("health") if role == "gateway" else None,
        ladder=_ladder(data["ladder"]) if role == "gateway" else None,
        cloud_routes=_cloud_routes(data.get("cloud_routes")) if role == "gateway" else None,
        timing=Timing(**{name: float(value) for name, value in data.get("timing", {}).items()}),
    )


def _cloud_routes(data: dict[str, Any] | None) -> CloudRoutes | None:
    if data is None or data["kind"] != "aws":
        return None
    name, value = data["tag"]
    return CloudRoutes(tables=tuple(data["tables"]), tag=(str(name), str(value)))


def _ladder(data: dict[str, Any]) -> Ladder:
    return Ladder(
        blocks=tuple(
            Block(
                prefix=IPv4Network(item["prefix"]),
                longest=int(item["longest"]),
                own=tuple(IPv4Network(own) for own in item["own"]),
                node=item.get("node"),
            )
            for item in data["blocks"]
        ),
        probes=tuple(tuple(IPv4Address(one) for one in row) for row in data["probes"]),
        targets=tuple(
            Target(name=item["name"], region=item["region"], address=IPv4Address(item["address"]))
            for item in data.get("targets", ())
        ),
        socket=data.get("socket", SOCKET),
    )
