"""The model of `tailspan:stack`: what may be written in a stack file, each object judged by itself.

Rules that need more than one object (overlaps, duplicate names, gateways) belong to network.plan.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from config.values import (
    Address,
    DeviceName,
    DnsName,
    HostKey,
    HttpsUrl,
    LabelValue,
    MachineType,
    Name,
    Network,
    Port,
    RegistryPrefix,
    Seconds,
    Version,
)

Lan = Literal["l2", "routed"]
Cni = Literal["plain", "cilium"]
PolicyMode = Literal["verify", "own"]


class Model(BaseModel):
    """Plain values that never change; an unknown key is an error, because it is a misspelt one."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KubernetesConfig(Model):
    """The cluster: its version, its name and the address space that is common to all regions."""

    version: Version = Field(examples=["1.33.1"])
    endpoint: DnsName = Field(examples=["api.dev.tailspan.internal"])
    service_cidr: Network = Field(default=IPv4Network("10.96.0.0/16"), examples=["10.96.0.0/16"])
    pod_supernet: Network = Field(default=IPv4Network("10.128.0.0/9"), examples=["10.128.0.0/9"])
    node_supernet: Network = Field(default=IPv4Network("10.0.0.0/9"), examples=["10.0.0.0/9"])
    node_pod_prefix: int = Field(default=24, ge=20, le=28, examples=[24])
    unreachable_toleration: Seconds = Field(default=3600, examples=["1h"])


class SshConfig(Model):
    """How the operator logs in to machines; keys come from the SSH agent, never from the stack file."""

    user: str = Field(default="root", pattern=r"^[a-z_][a-z0-9_-]{0,31}$", examples=["root"])


class AccessConfig(Model):
    """How the operator reaches the API server, and from where SSH (and a public API) may be used."""

    api: Literal["public", "tailnet"] = Field(examples=["public"])
    allow: tuple[Network, ...] = Field(default=(), validate_default=True, examples=[["198.51.100.1/32"]])
    ssh: SshConfig = SshConfig()

    @field_validator("allow")
    @classmethod
    def _public_api_needs_sources(
        cls, value: tuple[IPv4Network, ...], info: ValidationInfo
    ) -> tuple[IPv4Network, ...]:
        if info.data.get("api") == "public" and not value:
            raise ValueError(
                "a public API server needs the addresses that may reach it; write allow: "
                "[YOUR.ADDRESS/32], or api: tailnet"
            )
        return value


class ImagesConfig(Model):
    """Where container images come from; `mirror` takes the place of their registries' hosts."""

    mirror: RegistryPrefix | None = Field(default=None, examples=["registry.example.com/mirror"])


class HeadscaleConfig(Model):
    """A tailnet on a control server of one's own; no limit of devices unless one is written."""

    kind: Literal["headscale"]
    url: HttpsUrl = Field(examples=["https://headscale.example.com"])
    policy: PolicyMode = "verify"
    version: Version = Field(examples=["1.102.3"])
    max_devices: int | None = Field(default=None, ge=1, examples=[100])


class TailscaleConfig(Model):
    """A tailnet at Tailscale; 100 devices is the limit of its free plan."""

    kind: Literal["tailscale"]
    name: DnsName = Field(examples=["example.com"])
    policy: PolicyMode = "verify"
    version: Version = Field(examples=["1.102.3"])
    max_devices: int = Field(default=100, ge=1, examples=[100])


class LabProvider(Model):
    """Machines, networks and firewalls of the lab on this computer."""

    kind: Literal["lab"]
    lan: Lan = Field(examples=["l2"])
    nat: Literal["easy", "hard"] | None = None


class SshProvider(Model):
    """Machines that exist already and are reached over SSH; their network is somebody else's."""

    kind: Literal["ssh"]
    lan: Lan = Field(examples=["l2"])


class GpuConfig(Model):
    """What a machine is rented for."""

    # Becomes a node's label, hence the characters of a Kubernetes label value.
    type: LabelValue = Field(examples=["H100-80GB"])
    count: int = Field(ge=1, le=64, examples=[8])
    # One GPU for one hour; without it the region's prices hold, else its seller's list price.
    usd_per_hour: float | None = Field(default=None, ge=0, examples=[1.9])


class PricesConfig(Model):
    """What a region's seller really charges, in US dollars; it overrides the price list (network/prices.toml)."""

    gpus: dict[LabelValue, Annotated[float, Field(ge=0)]] = Field(default={}, examples=["{H100: 1.7}"])
    egress_usd_per_gb: float | None = Field(default=None, ge=0, examples=[0.05])


class MachineConfig(Model):
    """One machine by name; the name is also that of its Kubernetes node."""

    name: Name = Field(examples=["gpu-a"])
    node_ip: Address = Field(examples=["10.1.0.10"])
    address: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]+$", examples=["198.51.100.10"])
    port: Port = 22
    jump: Name | None = None
    host_key: HostKey | None = Field(default=None, examples=['"ssh-ed25519 AAAAC3..."'])
    gateway: bool = False
    control_plane: bool = False
    gpu: GpuConfig | None = None
    generation: int = Field(default=1, ge=1)
    machine_type: MachineType | None = None


class FirewallRule(Model):
    """One opening from outside to a region's gateways."""

    protocol: Literal["tcp", "udp"] = Field(examples=["udp"])
    port: Port = Field(examples=[41641])
    source: Network = Field(examples=["0.0.0.0/0"])


class ControlPlaneConfig(Model):
    """The machines that run etcd and the API server."""

    kind: Literal["kubeadm"] = Field(examples=["kubeadm"])
    machines: int = Field(default=1, ge=1)
    first_ip: Address | None = None
    machine_type: MachineType | None = None


class GatewaysConfig(Model):
    """How many machines of a cloud region carry its cross-region traffic."""

    count: int = Field(ge=0, examples=[2])
    first_ip: Address | None = None
    machine_type: MachineType | None = None


class NodeGroupConfig(Model):
    """Plain nodes of a cloud region that differ only by number."""

    name: Name = Field(examples=["cpu"])
    count: int = Field(ge=0, le=1000, examples=[3])
    first_ip: Address = Field(examples=["10.0.0.40"])
    machine_type: MachineType | None = None


Provider = Annotated[LabProvider | SshProvider, Field(discriminator="kind")]


class _RegionConfig(Model):
    name: Name = Field(examples=["hub"])
    provider: Provider = Field(examples=["{kind: lab, lan: l2}"])
    node_cidr: Network = Field(examples=["10.1.0.0/24"])
    pod_cidr: Network = Field(examples=["10.129.0.0/16"])
    cni: Cni = Field(examples=["plain"])
    # Who sells the machines, by the name in network/prices.toml: its list prices hold here.
    seller: Name | None = Field(default=None, examples=["hyperstack"])
    prices: PricesConfig = PricesConfig()
    # The machines' interface to their LAN and its MTU: Cilium is told both, or it would take the tunnel's.
    lan_device: DeviceName = "eth0"
    lan_mtu: int = Field(default=1500, ge=1280, le=9000, examples=[1500])
    gateway_firewall: tuple[FirewallRule, ...] = ()


class CloudRegionConfig(_RegionConfig):
    """The region that holds the control plane; on `ssh` its machines are listed, elsewhere counted."""

    kind: Literal["cloud"]
    control_plane: ControlPlaneConfig = Field(examples=["{kind: kubeadm, machines: 1}"])
    gateways: GatewaysConfig = Field(examples=["{count: 2}"])
    node_groups: tuple[NodeGroupConfig, ...] = ()
    machines: tuple[MachineConfig, ...] = ()


class GpuRegionConfig(_RegionConfig):
    """A place with GPU machines, each listed by name."""

    kind: Literal["gpu"]
    machines: tuple[MachineConfig, ...] = Field(
        examples=["[{name: gpu-a, node_ip: 10.1.0.10, gateway: true}]"]
    )


RegionConfig = Annotated[CloudRegionConfig | GpuRegionConfig, Field(discriminator="kind")]
TailnetConfig = Annotated[HeadscaleConfig | TailscaleConfig, Field(discriminator="kind")]


class StackConfig(Model):
    """One stack: one cluster, one tailnet, its regions."""

    kubernetes: KubernetesConfig
    access: AccessConfig
    images: ImagesConfig = ImagesConfig()
    tailnet: TailnetConfig
    regions: tuple[RegionConfig, ...]
