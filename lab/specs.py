"""What callers of the lab ask for and get: plain values, checked when they are made."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Lan = Literal["l2", "routed"]
Nat = Literal["easy", "hard"]
Role = Literal["control-plane", "gateway", "worker"]
Target = Literal["gateways", "control-plane", "workers", "all"]
# Becomes part of a namespace's name, a container's name and a host name.
Name = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSpec(Value):
    """A region's network: one LAN behind one router."""

    name: Name
    cidr: IPv4Network
    # l2: machines reach each other directly; routed: every packet goes through the router, as in GCP's VPCs.
    lan: Lan = "l2"
    # How machines without a public address get out: not at all, by an easy NAT, or by one hard to traverse.
    nat: Nat | None = None

    @model_validator(mode="after")
    def _usable(self) -> NetworkSpec:
        if self.name in ("inet", "op"):
            raise ValueError(f"network name {self.name!r} is taken by the lab itself: choose another one")
        if self.cidr.prefixlen > 29:
            raise ValueError(
                f"network {self.name}: {self.cidr} has no room for a router and machines: use a /29 or larger"
            )
        return self


class Rule(Value):
    """One opening in a network's firewall; what no rule opens is closed."""

    protocol: Literal["tcp", "udp", "icmp"]
    port: Port | None = None
    source: IPv4Network

    @model_validator(mode="after")
    def _port_fits(self) -> Rule:
        if (self.protocol == "icmp") != (self.port is None):
            raise ValueError(
                f"firewall rule {self.protocol}, port {self.port}: tcp and udp need a port, icmp has none"
            )
        return self


class MachineSpec(Value):
    name: Name
    network: Name
    role: Role
    node_ip: IPv4Address
    # On a routed LAN the router sends this range to the machine; on l2 the machines' own routes do.
    pod_cidr: IPv4Network | None = None
    public: bool = False
    # Another number is another machine: what was on the old one is gone.
    generation: int = 1


class MachineInfo(Value):
    """A machine that answers on SSH, and how the operator reaches it."""

    name: str
    network: str
    role: Role
    node_ip: IPv4Address
    public_ip: str
    ssh_host: str
    ssh_port: int
    host_key: str
    running: bool = True


class BaseInfo(Value):
    """What the whole lab shares. `api_key` is a secret."""

    operator_ip: str
    headscale_url: str
    headscale_ca_pem: str
    headscale_user: str
    api_key: str = Field(repr=False)
    ssh_agent_socket: Path
    ssh_public_key: str
