"""The part of a stack file that all regions share: the cluster, access to it, images and the tailnet."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from config.values import DnsName, HttpsUrl, Network, PublicKey, RegistryPrefix, Seconds, Version

PolicyMode = Literal["verify", "own"]

SMALLEST_POD_RANGE, LARGEST_POD_RANGE = 28, 20


class Model(BaseModel):
    """Plain values that never change; an unknown key is an error, because it is a misspelt one."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SlotsConfig(Model):
    """
    How large the ranges are that a region's `slot` stands for. The defaults fit each other: the 254 machines of a
    /24 have a /24 of pods each in a /16. Changing them moves every region that has a slot.
    """

    node_prefix: int = Field(
        default=24, ge=8, le=30, examples=[24], description="Prefix length of each slot's node_cidr."
    )
    pod_prefix: int = Field(
        default=16, ge=8, le=28, examples=[16], description="Prefix length of each slot's pod_cidr."
    )


class KubernetesConfig(Model):
    """The cluster: its version, its name and the address space that is common to all regions."""

    version: Version = Field(
        examples=["1.33.1"],
        description="Kubernetes version of all machines; on a running cluster another minor is refused, but for the "
        "next one where the cloud runs the control plane (gke, eks).",
    )
    endpoint: DnsName = Field(
        examples=["api.dev.tailspan.internal"],
        description="Name of the API server in certificates and on machines; it can never change.",
    )
    service_cidr: Network = Field(
        default=IPv4Network("10.96.0.0/16"),
        examples=["10.96.0.0/16"],
        description="Addresses of Services, /12 to /24, outside pod_supernet; it can never change.",
    )
    pod_supernet: Network = Field(
        default=IPv4Network("10.128.0.0/9"),
        examples=["10.128.0.0/9"],
        description="Holds every region's pod_cidr; machines route all of it to their gateway.",
    )
    node_supernet: Network = Field(
        default=IPv4Network("10.0.0.0/9"),
        examples=["10.0.0.0/9"],
        description="Holds every region's node_cidr; machines route all of it to their gateway.",
    )
    node_pod_prefix: int = Field(
        default=24,
        ge=LARGEST_POD_RANGE,
        le=SMALLEST_POD_RANGE,
        examples=[24],
        description="Prefix length of each machine's pod range. Above /25 a machine runs fewer than 110 pods.",
    )
    slots: SlotsConfig = Field(
        default=SlotsConfig(),
        examples=["{node_prefix: 24, pod_prefix: 16}"],
        description="Sizes of the ranges that a region gets by its slot.",
    )
    unreachable_toleration: Seconds = Field(
        default=3600,
        examples=["1h"],
        description="How long pods stay on machines that the control plane cannot reach: 90s, 30m, 1h or 2d.",
    )


class SshConfig(Model):
    """How the operator logs in to machines; keys come from the SSH agent, never from the stack file."""

    user: str = Field(
        default="root",
        pattern=r"^[a-z_][a-z0-9_-]{0,31}$",
        examples=["root"],
        description="Login on machines outside the lab; another user than root needs sudo without a password.",
    )
    authorized_keys: tuple[PublicKey, ...] = Field(
        default=(),
        examples=[['"ssh-ed25519 AAAAC3... me@laptop"']],
        description="Public keys that may log in to machines which tailspan makes (gcp, aws, sellers).",
    )


class AccessConfig(Model):
    """How the operator reaches the API server, and from where SSH (and a public API) may be used."""

    api: Literal["public", "tailnet"] = Field(
        examples=["public"],
        description="public: the API server answers the addresses in allow; tailnet: only devices of the tailnet.",
    )
    allow: tuple[Network, ...] = Field(
        default=(),
        validate_default=True,
        examples=[["198.51.100.1/32"]],
        description="Where SSH, and a public API server, may be reached from.",
    )
    ssh: SshConfig = Field(
        default=SshConfig(), examples=["{user: root}"], description="The login on machines."
    )

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
    """Where container images come from."""

    mirror: RegistryPrefix | None = Field(
        default=None,
        examples=["registry.example.com/mirror"],
        description="Takes the place of the images' registry hosts.",
    )


class _TailnetConfig(Model):
    policy: PolicyMode = Field(
        default="verify",
        examples=["verify"],
        description="own: tailspan writes the tailnet's whole policy file; verify: it says what yours lacks.",
    )
    version: Version = Field(
        examples=["1.102.3"],
        description="Tailscale version of the gateways; several of them in a region need 1.98.10 or later.",
    )
    mtu: int = Field(
        default=1280,
        ge=1280,
        le=8920,
        examples=[1280],
        description="Largest packet in the tunnel, in bytes, where every link carries 80 more; smaller links win.",
    )


class HeadscaleConfig(_TailnetConfig):
    """A tailnet on a control server of one's own; no limit of devices unless one is written."""

    kind: Literal["headscale"] = Field(description="A control server of your own.")
    url: HttpsUrl = Field(
        examples=["https://headscale.example.com"],
        description="The control server; every gateway must reach it without the tailnet.",
    )
    max_devices: int | None = Field(
        default=None, ge=1, examples=[100], description="Most devices that this stack may add."
    )


class TailscaleConfig(_TailnetConfig):
    """A tailnet at Tailscale; 100 devices is the limit of its free plan."""

    kind: Literal["tailscale"] = Field(description="Tailscale's control server.")
    name: DnsName = Field(examples=["example.com"], description="The tailnet's name.")
    max_devices: int = Field(
        default=100, ge=1, examples=[100], description="Most devices that this stack may add."
    )


TailnetConfig = Annotated[HeadscaleConfig | TailscaleConfig, Field(discriminator="kind")]
