"""One stack: the plan, the tailnet, the cloud region, and every region that joins it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pulumi
import pulumi_command

from bootstrap.images import Images
from bootstrap.script import Cluster
from components.address_map import AddressMap
from components.cloud_region import CloudRegion
from components.gpu_region import GpuProviderRegion, GpuProviderRegionArgs
from components.gpu_software import gpu_software
from components.region import RegionArgs
from components.sites import sites_of
from components.tailnet import Tailnet, TailnetArgs
from config.load import Settings, load
from network.plan import NetworkPlan, NetworkPlanError, plan_network
from outputs import refuse_moved_addresses, stack_outputs
from providers import provider_factory
from providers.managed import ManagedArgs, cluster_maker


@dataclass(frozen=True)
class Stack:
    """What was built."""

    plan: NetworkPlan
    hub: CloudRegion
    regions: tuple[GpuProviderRegion, ...]


def program() -> None:
    """The Pulumi program: load, build, export."""
    settings = load()
    for name, value in stack_outputs(settings, build(settings)).items():
        pulumi.export(name, value)


def build(settings: Settings) -> Stack:
    """Everything of a stack, in the order of the drawing in the README."""
    config = settings.stack
    AddressMap("addresses", config)
    try:
        plan = plan_network(config)
    except NetworkPlanError as error:
        file = f"Pulumi.{settings.stack_name}.yaml"
        raise pulumi.RunError("\n".join(f"{file}: {problem}" for problem in error.problems)) from None
    refuse_moved_addresses(settings.stack_name, plan, config.kubernetes)

    tailnet = Tailnet(
        "tailnet",
        TailnetArgs(
            config=config.tailnet, plan=plan, api_key=settings.tailnet_api_key, ca=settings.tailnet_ca
        ),
    )
    cluster = Cluster(
        plan=plan,
        images=Images(tailscale_version=config.tailnet.version, mirror=config.images.mirror),
        version=config.kubernetes.version,
        endpoint=config.kubernetes.endpoint,
        unreachable_seconds=config.kubernetes.unreachable_toleration,
        tailnet=tailnet.gateways,
        tailnet_ca=tailnet.ca,
    )
    place = provider_factory(settings.seller_keys)
    # Explicit, like every provider: default ones are switched off, and components hand it to their children.
    commands = pulumi.ResourceOptions(providers=[pulumi_command.Provider("commands")])
    sites = {site.plan.name: site for site in sites_of(config, plan, commands)}

    managed = ManagedArgs(
        version=config.kubernetes.version,
        endpoint=config.kubernetes.endpoint,
        allow=config.access.allow,
    )

    def region_args(name: str) -> RegionArgs:
        return RegionArgs(
            plan=plan.region(name),
            place=partial(place, sites[name]),
            cluster=cluster,
            tailnet=tailnet,
            access=config.access,
            managed=cluster_maker(sites[name], managed),
        )

    hub = CloudRegion(plan.hub.name, region_args(plan.hub.name), commands)
    gpu_software(plan, cluster.images, hub.cluster.provider)
    regions = tuple(
        GpuProviderRegion(
            region.name,
            GpuProviderRegionArgs(**vars(region_args(region.name)), access_to=hub.cluster, after=hub.ready),
            commands,
        )
        for region in plan.regions
        if region.kind == "gpu"
    )
    return Stack(plan, hub, regions)
