"""The model of `tailspan:stack`: what may be written in a stack file, each object judged by itself.

Rules that need more than one object (overlaps, duplicate names, gateways) belong to network.plan. A region's slot
is turned into its ranges here, so that everybody else reads ranges only. Descriptions are what
docs/configuration.md and editors show.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from config.cluster import (
    AccessConfig,
    HeadscaleConfig,
    ImagesConfig,
    KubernetesConfig,
    Model,
    SshConfig,
    TailnetConfig,
    TailscaleConfig,
)
from config.control_planes import ControlPlane, ControlPlaneConfig, EksControlPlane, GkeControlPlane
from config.gpu import SoftwareChoice, TaintChoice
from config.machines import (
    FirewallRule,
    GatewaysConfig,
    GpuConfig,
    MachineConfig,
    NodeGroupConfig,
    PricesConfig,
)
from config.places import (
    AwsProvider,
    GcpProvider,
    HyperstackProvider,
    LabProvider,
    NebiusProvider,
    Provider,
    SshProvider,
)
from config.slots import refuse_unusable, with_ranges
from config.values import DeviceName, Name, Network, Owner, Reason

__all__ = [
    "AccessConfig",
    "AwsProvider",
    "CloudRegionConfig",
    "ControlPlane",
    "ControlPlaneConfig",
    "EksControlPlane",
    "FirewallRule",
    "GatewaysConfig",
    "GcpProvider",
    "GkeControlPlane",
    "GpuConfig",
    "GpuRegionConfig",
    "HeadscaleConfig",
    "HyperstackProvider",
    "ImagesConfig",
    "KubernetesConfig",
    "LabProvider",
    "MachineConfig",
    "Model",
    "NebiusProvider",
    "NodeGroupConfig",
    "PricesConfig",
    "Provider",
    "RegionConfig",
    "ReservedConfig",
    "SshConfig",
    "SshProvider",
    "StackConfig",
    "TailnetConfig",
    "TailscaleConfig",
]

Cni = Literal["plain", "cilium"]
Mode = Literal["gateway", "per-node"]

Slot = Annotated[int, Field(ge=0), BeforeValidator(refuse_unusable)]
RANGES = ("node_cidr", "pod_cidr")


def _of_provider(data: dict[str, Any]) -> Provider:
    """The provider among what is valid of a region; any, if it is not: the file is refused then."""
    return data.get("provider") or LabProvider(kind="lab", lan="l2")


class _RegionConfig(Model):
    # Ranges are required, but a slot brings them along: an editor must not ask for both.
    model_config = ConfigDict(
        json_schema_extra=lambda schema: schema.update(
            required=[key for key in schema["required"] if key not in RANGES],
            anyOf=[{"required": list(RANGES)}, {"required": ["slot"]}],
        )
    )

    name: Name = Field(
        examples=["hub"], description="The region's name; a region of another name is another region."
    )
    provider: Provider = Field(
        examples=["{kind: lab, lan: l2}"],
        description="Where its machines come from, and what its LAN is like.",
    )
    node_cidr: Network = Field(
        examples=["10.1.0.0/24"],
        description="Its machines' addresses; it can never change while the region lives.",
    )
    pod_cidr: Network = Field(
        examples=["10.129.0.0/16"],
        description="Its pods' addresses; it can never change while the region lives.",
    )
    slot: Slot | None = Field(
        default=None,
        examples=[3],
        description="In place of node_cidr and pod_cidr: the number of their ranges in the two supernets.",
    )
    cni: Cni = Field(
        examples=["plain"],
        description="plain: a bridge on each machine and routes between them; cilium: Cilium in native routing.",
    )
    seller: Name | None = Field(
        default=None,
        examples=["hyperstack"],
        description="Who sells the machines, by its name in network/prices.toml: its list prices hold here.",
    )
    prices: PricesConfig = Field(
        default=PricesConfig(),
        examples=["{gpus: [{type: H100, usd_per_hour: 1.7}], egress_usd_per_gb: 0.05}"],
        description="What is really paid here, where that differs from the seller's list prices.",
    )
    mode: Mode = Field(
        default="gateway",
        examples=["per-node"],
        description="gateway: a few machines carry what crosses regions, the rest stays on the LAN; per-node: every "
        "machine is a device of the tailnet, and all between machines is encrypted.",
    )
    # Cilium is told both, or it would take the tunnel's.
    lan_device: DeviceName = Field(
        default_factory=lambda data: _of_provider(data).lan_device,
        examples=["eth0"],
        description="The machines' interface to their LAN; eth0, on gcp ens4, on aws ens5 if none is written.",
    )
    lan_mtu: int = Field(
        default_factory=lambda data: _of_provider(data).lan_mtu,
        ge=1280,
        le=9001,
        examples=[1500],
        description="Largest packet on the LAN, in bytes; 1500, on gcp 1460, on aws 9001 if none is written.",
    )
    wan_mtu: int | None = Field(
        default=None,
        ge=576,
        le=9001,
        examples=[1460],
        description="Largest packet to other regions, in bytes; lan_mtu, but 1500 at most, if none is written.",
    )
    lan_ranges: tuple[Network, ...] = Field(
        default=(),
        examples=[["172.31.0.0/16"]],
        description="What the region's network uses itself, the VPC around node_cidr or docker's; no other region may.",
    )
    no_inbound: Reason | None = Field(
        default=None,
        examples=["the campus firewall lets nothing in, our side dials the hub"],
        description="Why it works although no gateway can be reached from outside; without a reason it is refused.",
    )
    gateway_firewall: tuple[FirewallRule, ...] = Field(
        default=(),
        examples=["[{protocol: udp, port: 41641, source: 0.0.0.0/0}]"],
        description="What its gateways accept from outside. UDP 41641 from everybody makes direct links.",
    )
    gpu_software: SoftwareChoice = None
    gpu_taint: TaintChoice = False


class CloudRegionConfig(_RegionConfig):
    """The region that holds the control plane; on `ssh` its machines are listed, elsewhere counted."""

    kind: Literal["cloud"] = Field(description="The region that holds the control plane.")
    control_plane: ControlPlane = Field(
        examples=["{kind: kubeadm, machines: 1}"],
        description="Who runs etcd and the API server: machines of the region, or a cloud.",
    )
    gateways: GatewaysConfig = Field(
        default=GatewaysConfig(count=0),
        examples=["{count: 2}"],
        description="The machines that carry its traffic to other regions; none of them with mode: per-node.",
    )
    node_groups: tuple[NodeGroupConfig, ...] = Field(
        default=(),
        examples=["[{name: cpu, count: 3, first_ip: 10.0.0.40}]"],
        description="Its further machines, by number.",
    )
    machines: tuple[MachineConfig, ...] = Field(
        default=(),
        examples=["[{name: hub-cp, node_ip: 10.0.0.10, control_plane: true}]"],
        description="On ssh: all its machines, one by one.",
    )


class GpuRegionConfig(_RegionConfig):
    """A place with GPU machines, each listed by name."""

    kind: Literal["gpu"] = Field(description="A place with GPU machines.")
    machines: tuple[MachineConfig, ...] = Field(
        examples=["[{name: gpu-a, node_ip: 10.1.0.10, gateway: true}]"],
        description="All its machines; one to four of them with gateway: true.",
    )


class ReservedConfig(Model):
    """A range that somebody else uses."""

    cidr: Network = Field(examples=["10.8.0.0/16"], description="The range.")
    owner: Owner = Field(examples=["office VPN"], description="Whose it is, in words, for the error message.")


RegionConfig = Annotated[CloudRegionConfig | GpuRegionConfig, Field(discriminator="kind")]


_ANY_CLUSTER = KubernetesConfig(version="1.0.0", endpoint="any.example")


class StackConfig(Model):
    """One stack: one cluster, one tailnet, its regions."""

    kubernetes: KubernetesConfig = Field(description="The cluster and its address space.")
    access: AccessConfig = Field(description="How the operator reaches the cluster and its machines.")
    images: ImagesConfig = Field(default=ImagesConfig(), description="Where machines pull images from.")
    tailnet: TailnetConfig = Field(description="The tailnet that joins the regions.")
    reserved: tuple[ReservedConfig, ...] = Field(
        default=(),
        examples=["[{cidr: 10.8.0.0/16, owner: office VPN}]"],
        description="Ranges of others that machines or pods must reach; nothing of the cluster may touch them.",
    )
    regions: tuple[RegionConfig, ...] = Field(
        description="One cloud region and any number of GPU regions, in any order."
    )

    @field_validator("regions", mode="before")
    @classmethod
    def _ranges_of_slots(cls, value: Any, info: ValidationInfo) -> Any:
        # If the cluster's part is wrong, its defaults stand in: the file is refused anyway, with all its problems.
        return with_ranges(value, info.data.get("kubernetes") or _ANY_CLUSTER)
