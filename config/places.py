"""The part of a stack file about where a region's machines come from: one model per kind of provider.

A provider says what its network is like as far as every user of it gets the same (`lan`, and the defaults of
`lan_device` and `lan_mtu`). `creates` tells whether tailspan makes the machines, or finds them made.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from config.cluster import Model
from config.values import Network

Lan = Literal["l2", "routed"]

_LAN = "l2: machines share a switch; routed: the network delivers by destination, as in most clouds."
_NO_LAN = "none: they share no network, each carries its node IP itself (mode: per-node)."


# The secret settings with the API keys of sellers, by the kind of provider.
SELLER_KEYS = {"hyperstack": "hyperstackApiKey"}


class _Place(Model):
    creates: ClassVar[bool] = True
    lan_device: ClassVar[str] = "eth0"
    lan_mtu: ClassVar[int] = 1500

    @property
    def health_sources(self) -> tuple[IPv4Network, ...]:
        """Who asks the gateways from outside the cluster whether they carry traffic; nobody in most places."""
        return ()


class LabProvider(_Place):
    """Machines, networks and firewalls of the lab on this computer."""

    kind: Literal["lab"] = Field(description="Machines of the lab on this computer.")
    lan: Lan = Field(examples=["l2"], description=_LAN)
    nat: Literal["easy", "hard"] | None = Field(
        default=None,
        examples=["hard"],
        description="Hides the region behind a NAT: easy keeps a connection's port, hard picks one per destination.",
    )


class SshProvider(_Place):
    """Machines that exist already and are reached over SSH; their network is somebody else's."""

    creates: ClassVar[bool] = False
    kind: Literal["ssh"] = Field(description="Machines that exist already.")
    lan: Lan | Literal["none"] = Field(examples=["l2"], description=f"{_LAN} {_NO_LAN}")


class GcpProvider(_Place):
    """A VPC network with one subnetwork, and virtual machines in one zone of Google Cloud."""

    # Images of Google Cloud name the first virtio interface so; a VPC's default MTU
    # (https://cloud.google.com/vpc/docs/mtu).
    lan_device: ClassVar[str] = "ens4"
    lan_mtu: ClassVar[int] = 1460
    kind: Literal["gcp"] = Field(description="Virtual machines of Google Cloud.")
    project: str = Field(
        pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$", examples=["acme-ml"], description="The project's id."
    )
    region: str = Field(
        pattern=r"^[a-z]+-[a-z]+[0-9]+$", examples=["us-central1"], description="Google Cloud's region."
    )
    zone: str = Field(
        pattern=r"^[a-z]+-[a-z]+[0-9]+-(ai[0-9]+)?[a-z]$",
        examples=["us-central1-a"],
        description="The zone of its machines.",
    )
    # Every machine is a /32 there and the VPC routes by destination: a next hop of the kernel's does nothing.
    lan: Literal["routed"] = Field(default="routed", examples=["routed"], description=_LAN)
    image: str = Field(
        default="projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64",
        pattern=r"^projects/[a-z0-9.:-]+/global/images/(family/)?[a-z0-9-]+$",
        examples=["projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"],
        description="Image or image family, with cloud-init in it. Machines that exist keep theirs.",
    )
    disk_gb: int = Field(
        default=100, ge=20, le=65536, examples=[200], description="Size of each machine's boot disk, in GB."
    )
    disk_type: str = Field(
        default="pd-balanced",
        pattern=r"^[a-z0-9-]+$",
        examples=["hyperdisk-balanced"],
        description="Type of new machines' boot disks; some families take hyperdisk-balanced only, others never.",
    )
    routes: Literal["load-balancer", "instance"] = Field(
        default="load-balancer",
        examples=["instance"],
        description="How the VPC sends what is for other regions: to every healthy gateway, or to the first one.",
    )

    @property
    def health_sources(self) -> tuple[IPv4Network, ...]:
        """The probes of passthrough load balancers (https://cloud.google.com/load-balancing/docs/health-checks)."""
        if self.routes == "instance":
            return ()
        return (IPv4Network("35.191.0.0/16"), IPv4Network("130.211.0.0/22"))


class AwsVpc(Model):
    """A VPC that somebody else made, and in it a public subnet whose range is the region's node_cidr."""

    id: str = Field(
        pattern=r"^vpc-[0-9a-f]{8,17}$", examples=["vpc-0a1b2c3d4e5f60718"], description="The VPC's id."
    )
    cidr: Network = Field(
        examples=["10.20.0.0/16"],
        description="The VPC's range; no other region and no pod may have one in it.",
    )
    subnet: str = Field(
        pattern=r"^subnet-[0-9a-f]{8,17}$",
        examples=["subnet-0a1b2c3d4e5f60718"],
        description="A subnet in `zone` with a route to an internet gateway.",
    )
    route_tables: tuple[Annotated[str, Field(pattern=r"^rtb-[0-9a-f]{8,17}$")], ...] = Field(
        min_length=1,
        examples=[["rtb-0a1b2c3d4e5f60718"]],
        description="Every table that shall lead to other regions, that of the subnet among them.",
    )


class AwsProvider(_Place):
    """A VPC with one subnet, and instances in it, at Amazon Web Services."""

    # Nitro instances name their first interface so; jumbo frames inside a VPC
    # (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/network_mtu.html).
    lan_device: ClassVar[str] = "ens5"
    lan_mtu: ClassVar[int] = 9001
    kind: Literal["aws"] = Field(description="Instances of Amazon EC2.")
    region: str = Field(
        pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$", examples=["us-east-1"], description="Amazon's region."
    )
    zone: str = Field(
        pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$",
        examples=["us-east-1a"],
        description="The availability zone of its subnet.",
    )
    ami: str = Field(
        pattern=r"^ami-[0-9a-f]{8,17}$",
        examples=["ami-0a1b2c3d4e5f60718"],
        description="Image of new machines, Debian or Ubuntu of the processor of their types; none that runs changes.",
    )
    disk_gib: int = Field(
        default=100, ge=20, le=16384, examples=[100], description="Size of each machine's disk, in GiB."
    )
    vpc: AwsVpc | None = Field(
        default=None,
        examples=[
            "{id: vpc-0a1b2c3d4e5f60718, cidr: 10.20.0.0/16, subnet: subnet-0a1b2c3d4e5f60718, "
            "route_tables: [rtb-0a1b2c3d4e5f60718]}"
        ],
        description="A VPC that is there already; without it one is made whose range is node_cidr.",
    )
    # Within a subnet an instance may be the next hop of another one, if neither checks source and destination.
    lan: Literal["l2"] = Field(default="l2", examples=["l2"], description=_LAN)


class HyperstackProvider(_Place):
    """
    Virtual machines of Hyperstack, in one environment. The API hands out private addresses itself, so its machines
    carry their node IPs themselves: `mode: per-node`, or one machine that is its own gateway.
    """

    kind: Literal["hyperstack"] = Field(
        description="Virtual machines of Hyperstack (docs/clouds/hyperstack.md)."
    )
    environment: str = Field(
        min_length=1,
        examples=["default-CANADA-1"],
        description="The environment that holds the machines; its region decides where they are.",
    )
    image: str = Field(
        min_length=1,
        examples=["Ubuntu Server 24.04 LTS R570 CUDA 12.8"],
        description="The image's name, as `GET /core/images` lists it.",
    )
    key_name: str = Field(
        min_length=1,
        examples=["ops"],
        description="A key pair of the environment, which the API demands; tailspan logs in with access.ssh's keys.",
    )
    lan: Literal["none"] = Field(default="none", examples=["none"], description=_NO_LAN)


class NebiusProvider(_Place):
    """A network with one subnet, and virtual machines in it, of Nebius AI Cloud (extra `sellers`)."""

    kind: Literal["nebius"] = Field(description="Virtual machines of Nebius (docs/clouds/nebius.md).")
    project: str = Field(
        pattern=r"^project-[a-z0-9]+$",
        examples=["project-e00abcdefgh"],
        description="The project's id; a project lies in one region.",
    )
    image_family: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]*$",
        examples=["ubuntu24.04-cuda12"],
        description="The family of public images; its newest one is the boot disk.",
    )
    disk_gib: int = Field(
        default=200,
        ge=20,
        le=8192,
        examples=[500],
        description="Size of the boot disk, which goes with the machine.",
    )
    # As in most clouds a next hop of the kernel's is nothing to the network, which knows the addresses it gave out.
    lan: Literal["routed"] = Field(default="routed", examples=["routed"], description=_LAN)


Provider = Annotated[
    LabProvider | SshProvider | GcpProvider | AwsProvider | HyperstackProvider | NebiusProvider,
    Field(discriminator="kind"),
]

# Sellers whose machines cannot be nodes, and what to rent instead.
NO_NODES = {
    "runpod": (
        "its Pods are containers without /dev/net/tun that may not be privileged "
        "(https://github.com/runpod/runpodctl/issues/272), so neither Tailscale nor a kubelet runs in them; rent "
        "virtual machines, for example kind: hyperstack or nebius, or bare metal with kind: ssh"
    ),
}
