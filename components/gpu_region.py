"""GpuProviderRegion: machines anywhere that join the cloud region's cluster as ordinary nodes."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.cluster import ClusterAccess
from components.dns import region_dns
from components.nodes import NodeFactory
from components.region import RegionArgs, machine_firewalls, region_inputs
from providers.base import Machine


@dataclass(frozen=True, kw_only=True)
class GpuProviderRegionArgs(RegionArgs):
    """A GPU region, the cluster it joins and the cloud region's services that must be there first."""

    access_to: ClusterAccess
    after: tuple[pulumi.Resource, ...] = ()


class GpuProviderRegion(pulumi.ComponentResource):
    """
    The tailnet's devices first: each brings its own way to the API server, the static pod `apiserver-connector`. Plain
    machines follow through them, and leave before them; with `mode: per-node` there are none.
    """

    def __init__(
        self, name: str, args: GpuProviderRegionArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        inputs = region_inputs(args)
        super().__init__("tailspan:components:GpuProviderRegion", name, inputs, opts)
        child = pulumi.ResourceOptions(parent=self)
        place = args.place(child)
        for role, ingress in machine_firewalls(args):
            place.firewall(role, ingress, child)
        factory = NodeFactory(
            cluster=args.cluster, access=args.access_to, tailnet=args.tailnet, region=args.plan, parent=self
        )
        joins: list[pulumi.Resource] = []
        # One after the other: a gateway's script ends when it forwards, and before that no other one is touched.
        former: list[pulumi.Resource] = []
        gateways: list[Machine] = []
        for node in args.plan.devices:
            machine = place.machine(node, child)
            script = factory.bootstrap(machine, node, after=former)
            joins.append(factory.join(machine, node, after=[script, *args.after]))
            if node.role == "gateway":
                gateways.append(machine)
            former = [script] if node.role == "gateway" else []
        place.route_remote(gateways, child)
        devices = list(joins)
        for node in (node for node in args.plan.nodes if not node.device):
            machine = place.machine(node, child)
            script = factory.bootstrap(machine, node)
            joins.append(factory.join(machine, node, after=[script, *devices]))
        # One dead machine must not keep the others from resolving names: what it waits for are the ways out.
        by_gateways = args.plan.mode == "gateway"
        region_dns(
            args.plan,
            args.cluster,
            args.access_to.provider,
            parent=self,
            after=[*args.after, *(devices if by_gateways else [])],
            awaited=by_gateways,
        )
        self.register_outputs({})
