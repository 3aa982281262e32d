"""The part of a stack file about machines: those that are listed and those that are counted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.cluster import Model
from config.values import Address, Host, HostKey, LabelValue, MachineType, Name, Network, Port

_FIRST_IP = "Node IP of the first of them; the others follow."
_MACHINE_TYPE = "The provider's name for the machine's size; the provider's default if none is written."


class GpuConfig(Model):
    """What a machine is rented for."""

    # Becomes a node's label, hence the characters of a Kubernetes label value.
    type: LabelValue = Field(
        examples=["H100-80GB"], description="The GPU's model; becomes a label of the node."
    )
    count: int = Field(ge=1, le=64, examples=[8], description="GPUs in the machine.")
    usd_per_hour: float | None = Field(
        default=None,
        ge=0,
        examples=[1.9],
        description="US dollars for one GPU and one hour; else the region's prices hold, else its seller's list price.",
    )


class GpuPrice(Model):
    """What one GPU of a type costs in a region."""

    type: LabelValue = Field(examples=["H100"], description="The GPU's model, as the machines name it.")
    usd_per_hour: float = Field(ge=0, examples=[1.7], description="US dollars for one GPU and one hour.")


class PricesConfig(Model):
    """What a region's seller really charges; it overrides the list prices in network/prices.toml."""

    gpus: tuple[GpuPrice, ...] = Field(
        default=(),
        examples=["[{type: H100, usd_per_hour: 1.7}]"],
        description="Its GPUs, a line for each type.",
    )
    egress_usd_per_gb: float | None = Field(
        default=None, ge=0, examples=[0.05], description="US dollars for one gigabyte that leaves the region."
    )


class MachineConfig(Model):
    """One machine by name; the name is also that of its Kubernetes node."""

    name: Name = Field(
        examples=["gpu-a"],
        description="The machine's name in the cluster; a machine of another name is another one.",
    )
    node_ip: Address = Field(
        examples=["10.1.0.10"],
        description="Its address in node_cidr. The host number in it also numbers the machine's pod range.",
    )
    address: Host | None = Field(
        default=None,
        examples=["203.0.113.10"],
        description="Where SSH reaches it (ssh provider). Of a gateway: its public address.",
    )
    port: Port = Field(default=22, examples=[22], description="SSH port at that address.")
    jump: Name | None = Field(
        default=None,
        examples=["gpu-a"],
        description="A machine of the region through which SSH goes, for one that has no address of its own.",
    )
    host_key: HostKey | None = Field(
        default=None,
        examples=['"ssh-ed25519 AAAAC3..."'],
        description="Its public SSH host key (ssh provider); another one is refused.",
    )
    gateway: bool = Field(
        default=False,
        examples=[True],
        description="Whether it carries the region's traffic to other regions.",
    )
    control_plane: bool = Field(
        default=False,
        examples=[True],
        description="Whether it runs etcd and the API server (cloud region on ssh).",
    )
    gpu: GpuConfig | None = Field(
        default=None,
        examples=["{type: H100, count: 8, usd_per_hour: 1.9}"],
        description="Its GPUs, if it has some.",
    )
    generation: int = Field(
        default=1,
        ge=1,
        examples=[2],
        description="Count it up when the machine was wiped, and it joins anew.",
    )
    machine_type: MachineType | None = Field(
        default=None, examples=["a3-highgpu-8g"], description=_MACHINE_TYPE
    )


class FirewallRule(Model):
    """One opening from outside to a region's gateways; with `mode: per-node`, to all of its machines."""

    protocol: Literal["tcp", "udp"] = Field(examples=["udp"], description="tcp or udp.")
    port: Port = Field(examples=[41641], description="The port that is opened.")
    source: Network = Field(examples=["0.0.0.0/0"], description="Who may use it.")


class GatewaysConfig(Model):
    """How many machines of a cloud region carry its cross-region traffic."""

    count: int = Field(
        ge=0, examples=[2], description="How many, from 1 to 4; on ssh as many as are flagged."
    )
    first_ip: Address | None = Field(
        default=None,
        examples=["10.0.0.20"],
        description=f"{_FIRST_IP} Host 20 of node_cidr if none is written.",
    )
    machine_type: MachineType | None = Field(
        default=None, examples=["e2-standard-4"], description=_MACHINE_TYPE
    )
    shape: Literal["vm", "node-pool"] = Field(
        default="vm",
        examples=["vm"],
        description="vm: machines of their own; node-pool: one node that GKE makes, repairs and upgrades (only with "
        "control plane gke, docs/clouds/gke.md).",
    )


class NodeGroupConfig(Model):
    """Plain nodes of a cloud region that differ only by number."""

    name: Name = Field(examples=["cpu"], description="Part of the machines' names: hub-cpu-1, hub-cpu-2.")
    count: int = Field(ge=0, le=1000, examples=[3], description="How many machines.")
    first_ip: Address | None = Field(
        default=None,
        examples=["10.0.0.40"],
        description=f"{_FIRST_IP} Required, but with control plane gke or eks: there the cloud hands out addresses.",
    )
    machine_type: MachineType | None = Field(
        default=None, examples=["e2-standard-8"], description=_MACHINE_TYPE
    )
