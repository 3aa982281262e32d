"""From a stack's configuration to its network plan, or to one error that lists every problem."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from config.gpu import GpuSoftware, gpu_software
from config.schema import Cni, FirewallRule, GpuConfig, MachineConfig, Mode, RegionConfig, StackConfig
from network.cloud_routes import CloudRoutes, cloud_routes
from network.managed import (
    DNS_HOST,
    KUBEADM_API_PORT,
    MANAGED_API_PORT,
    SECOND_DNS_HOST,
    ControlPlaneKind,
    ManagedRanges,
    control_plane_kind,
    has_pool_gateways,
    is_managed,
    ranges_of,
)
from network.mtu import stack_mtu, tcp_mss, wan_mtu
from network.nodes import NodeDraft, Role, draft_nodes
from network.prefixes import ladder
from network.prices import gpus_per_hour
from network.rules import problems

# How a node reaches other nodes' pods and other regions: next hops on its LAN, a tunnel to its gateways, or by itself.
Reach = Literal["lan", "tunnel", "tailnet"]

# What Kubernetes is tested with (https://kubernetes.io/docs/setup/best-practices/cluster-large), and the addresses
# of a pod range that no pod gets: network and broadcast, and up to two of the node itself (a bridge; Cilium's router
# and health endpoint).
MOST_PODS = 110
NODE_ADDRESSES = 4


class NetworkPlanError(ValueError):
    """The configuration makes no working network; `problems` holds every reason."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True, kw_only=True)
class NodePlan:
    """One Kubernetes node."""

    name: str
    region: str
    role: Role
    node_ip: IPv4Address
    pod_cidr: IPv4Network
    # Whether it is a device of the tailnet, and what it advertises there then.
    device: bool
    advertise: tuple[IPv4Network, ...]
    machine_type: str | None
    machine: MachineConfig | None
    group: str | None = None  # the node group it is counted in

    @property
    def generation(self) -> int:
        return self.machine.generation if self.machine else 1

    @property
    def gpu(self) -> GpuConfig | None:
        return self.machine.gpu if self.machine else None


@dataclass(frozen=True, kw_only=True)
class RegionPlan:
    """One region: its ranges, its nodes and how they reach their gateways."""

    name: str
    kind: Literal["cloud", "gpu"]
    mode: Mode
    node_cidr: IPv4Network
    pod_cidr: IPv4Network
    tag: str
    reach: Reach
    # Whether its machines share a network on which they have their node IPs.
    lan: bool
    cni: Cni
    lan_device: str
    lan_mtu: int
    wan_mtu: int
    nodes: tuple[NodePlan, ...]
    gateway_firewall: tuple[FirewallRule, ...]
    # US dollars for all GPUs of the region; None if nobody knows the price of one (network/prices.py).
    usd_per_hour: float | None
    no_inbound: str | None
    cloud_routes: CloudRoutes | None = None
    # Who asks gateways from outside the cluster whether they carry traffic: the place's load balancer.
    health_sources: tuple[IPv4Network, ...] = ()
    gpu_software: GpuSoftware = "none"
    gpu_taint: bool = False
    # Whether its gateways are nodes of the cluster; to EKS a machine of its own VPC cannot be a hybrid node.
    gateways_join: bool = True
    # Whether a cloud makes them, in node pools: their nodes' names and addresses are nobody's plan then.
    pool_gateways: bool = False
    # How the region's ranges are shared with the nodes of a cloud that runs the control plane; None elsewhere.
    managed: ManagedRanges | None = None

    @property
    def machine_cidr(self) -> IPv4Network:
        """The part of the node CIDR in which the plan's machines are."""
        return self.managed.machines if self.managed else self.node_cidr

    @property
    def machine_pod_cidr(self) -> IPv4Network:
        """The part of the pod CIDR in which their pods are."""
        return self.managed.machine_pods if self.managed else self.pod_cidr

    @property
    def control_plane(self) -> tuple[NodePlan, ...]:
        return self._nodes("control-plane")

    @property
    def gateways(self) -> tuple[NodePlan, ...]:
        return self._nodes("gateway")

    @property
    def workers(self) -> tuple[NodePlan, ...]:
        return self._nodes("worker")

    @property
    def devices(self) -> tuple[NodePlan, ...]:
        """The region's devices in the tailnet: its gateways, or all of its nodes."""
        return tuple(node for node in self.nodes if node.device)

    @property
    def next_hop(self) -> IPv4Address | None:
        """Where nodes send cross-region traffic; None where each of them is a device of the tailnet."""
        return self.gateways[0].node_ip if self.mode == "gateway" else None

    def _nodes(self, role: Role) -> tuple[NodePlan, ...]:
        return tuple(node for node in self.nodes if node.role == role)


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """The whole network of a stack.

    Nodes route the two supernets to their gateway once, so a new region changes nothing on other machines.
    """

    regions: tuple[RegionPlan, ...]
    service_cidr: IPv4Network
    pod_supernet: IPv4Network
    node_supernet: IPv4Network
    dns_ip: IPv4Address
    mtu: int
    mss: int
    devices: int
    max_pods: int
    tailnet_kind: Literal["headscale", "tailscale"]
    control_plane: ControlPlaneKind = "kubeadm"

    def region(self, name: str) -> RegionPlan:
        return next(region for region in self.regions if region.name == name)

    @property
    def hub(self) -> RegionPlan:
        """The cloud region, home of the control plane."""
        return next(region for region in self.regions if region.kind == "cloud")

    @property
    def api_address(self) -> IPv4Address | None:
        """The node IP behind the name of the control plane endpoint; None where a cloud runs it somewhere."""
        machines = self.hub.control_plane
        return machines[0].node_ip if machines else None

    @property
    def api_port(self) -> int:
        """Where other regions reach the API server, on an address of the hub's node CIDR."""
        return KUBEADM_API_PORT if self.control_plane == "kubeadm" else MANAGED_API_PORT


def plan_network(config: StackConfig) -> NetworkPlan:
    """The plan of a stack; raises NetworkPlanError with every problem at once."""
    drafts = {id(region): draft_nodes(region) for region in config.regions}
    found = problems(config, [draft for group in drafts.values() for draft in group])
    if found:
        raise NetworkPlanError(found)
    kubernetes = config.kubernetes
    kind = control_plane_kind(next(region for region in config.regions if region.kind == "cloud"))
    regions = tuple(
        _plan_region(region, drafts[id(region)], kubernetes.node_pod_prefix)
        # The hub, then by name: the order of the file must not show anywhere.
        for region in sorted(config.regions, key=lambda region: (region.kind != "cloud", region.name))
    )
    return NetworkPlan(
        regions=regions,
        service_cidr=kubernetes.service_cidr,
        pod_supernet=kubernetes.pod_supernet,
        node_supernet=kubernetes.node_supernet,
        dns_ip=kubernetes.service_cidr[DNS_HOST if kind == "kubeadm" else SECOND_DNS_HOST],
        mtu=stack_mtu(config),
        mss=tcp_mss(stack_mtu(config)),
        devices=sum(len(region.devices) for region in regions),
        max_pods=max_pods(kubernetes.node_pod_prefix),
        tailnet_kind=config.tailnet.kind,
        control_plane=kind,
    )


def max_pods(node_pod_prefix: int) -> int:
    """How many pods a machine may run: the kubelet would start more than its range has addresses for."""
    return min(MOST_PODS, (1 << (32 - node_pod_prefix)) - NODE_ADDRESSES)


def region_tag(name: str) -> str:
    """One tag per region: a tag may advertise its own region's ranges and no other's."""
    return f"tag:tailspan-{name}"


def _plan_region(region: RegionConfig, drafts: tuple[NodeDraft, ...], node_pod_prefix: int) -> RegionPlan:
    advertise = _advertisements(region, drafts, node_pod_prefix)
    nodes = tuple(
        NodePlan(
            name=draft.name,
            region=region.name,
            role=draft.role,
            node_ip=draft.node_ip,
            pod_cidr=node_pod_range(region.pod_cidr, node_pod_prefix, draft.host),
            device=draft.name in advertise,
            advertise=advertise.get(draft.name, ()),
            machine_type=draft.machine_type,
            machine=draft.machine,
            # A device has a key and a name of its own in the tailnet, and so resources of its own.
            group=None if draft.name in advertise else draft.group,
        )
        for draft in drafts
    )
    return RegionPlan(
        name=region.name,
        kind=region.kind,
        mode=region.mode,
        node_cidr=region.node_cidr,
        pod_cidr=region.pod_cidr,
        tag=region_tag(region.name),
        reach=_reach(region),
        lan=region.provider.lan != "none",
        cni=region.cni,
        lan_device=region.lan_device,
        lan_mtu=region.lan_mtu,
        wan_mtu=wan_mtu(region),
        nodes=nodes,
        gateway_firewall=region.gateway_firewall,
        usd_per_hour=gpus_per_hour(region, [node.gpu for node in nodes if node.gpu]),
        no_inbound=region.no_inbound,
        cloud_routes=cloud_routes(region, sum(1 for node in nodes if node.role == "gateway")),
        health_sources=region.provider.health_sources if region.mode == "gateway" else (),
        gpu_software=gpu_software(region.gpu_software, region.provider.kind),
        gpu_taint=region.gpu_taint,
        gateways_join=control_plane_kind(region) != "eks",
        pool_gateways=has_pool_gateways(region),
        managed=ranges_of(region),
    )


def _advertisements(
    region: RegionConfig, drafts: tuple[NodeDraft, ...], node_pod_prefix: int
) -> dict[str, tuple[IPv4Network, ...]]:
    """What each device of a region advertises: gateways cover all of it, a node of its own exactly itself."""
    if region.mode == "per-node":
        return {
            draft.name: (
                IPv4Network(draft.node_ip),
                node_pod_range(region.pod_cidr, node_pod_prefix, draft.host),
            )
            for draft in drafts
        }
    gateways = [draft for draft in drafts if draft.role == "gateway"]
    rungs = zip(
        gateways, ladder(region.node_cidr, len(gateways)), ladder(region.pod_cidr, len(gateways)), strict=True
    )
    return {gateway.name: node_rung + pod_rung for gateway, node_rung, pod_rung in rungs}


def _reach(region: RegionConfig) -> Reach:
    if region.mode == "per-node":
        return "tailnet"
    if is_managed(region):
        return "tunnel"  # half of the region's ranges lie behind the cloud's router
    return "lan" if region.provider.lan == "l2" else "tunnel"


def node_pod_range(pod_cidr: IPv4Network, prefix: int, host: int) -> IPv4Network:
    """Range number `host` of a pod CIDR cut into node ranges: the address decides, no list position."""
    return IPv4Network((int(pod_cidr.network_address) + (host << (32 - prefix)), prefix))
