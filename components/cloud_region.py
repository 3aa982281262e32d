"""CloudRegion: the network with the control plane, the gateways and the cluster's own services."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from bootstrap.gateway import NAMESPACE as GATEWAY_NAMESPACE
from bootstrap.pool_gateway import pool_gateway
from components import kube
from components.cilium import cilium_release
from components.cluster import ClusterAccess, stack_seed
from components.control_plane import kubeadm_control_plane, managed_control_plane
from components.dns import ClusterDns, region_dns
from components.managed_cluster import critical_pods
from components.node_group import NodeGroup, NodeGroupArgs
from components.nodes import NodeFactory
from components.pool_gateways import gateway_label_guard
from components.region import RegionArgs, machine_firewalls, region_inputs
from components.route_agent import AgentFiles, RouteAgent, RouteAgentArgs, agent_key
from components.secrets import secret
from components.standalone import standalone_gateways
from components.subnet_router import SubnetRouter, SubnetRouterArgs
from network.plan import NodePlan, RegionPlan
from providers.base import Machine


class CloudRegion(pulumi.ComponentResource):
    """
    The region that everything else joins. `cluster` is what the other regions need of it: the CA, the operator's
    kubeconfig, and the objects without which no machine is admitted. `ready` is what must be there before they join.
    """

    cluster: ClusterAccess
    ready: tuple[pulumi.Resource, ...]

    def __init__(self, name: str, args: RegionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tailspan:components:CloudRegion", name, region_inputs(args), opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        self._place = args.place(self._child)
        self._open_firewalls()
        machines = {
            node.name: self._machine(node)
            for node in args.plan.nodes
            if not (node.group or _by_cloud(node, args.plan))
        }
        # Gateways that are there before the cluster, and no nodes of it.
        self._ways: list[pulumi.Resource] = []
        self._place.route_remote(
            [machines[node.name] for node in args.plan.gateways if node.name in machines], self._child
        )
        self.cluster = self._control_plane(machines)
        cilium_release(args.cluster.plan, self.cluster.provider, self)
        joins = self._join_nodes(machines)
        # A group with a dead machine in it must not keep the region's gateways from starting.
        groups = self._node_groups()
        namespace = kube.Namespace(
            "tailscale-namespace", metadata={"name": GATEWAY_NAMESPACE}, opts=self._in_cluster()
        )
        if args.plan.pool_gateways:
            # Without its node a DaemonSet is ready at once, and nothing leads to other regions yet.
            joins = [*self.cluster.ready, *gateway_label_guard(self._in_cluster())]
        room = critical_pods(args.cluster.plan, self._in_cluster(after=[namespace]))
        # With mode: per-node every machine is its own way out, there are no gateways to wait for.
        alone = joins if args.plan.mode == "per-node" else self._ways
        ways = alone or self._gateways([*joins, namespace, *room])
        dns = ClusterDns("dns", args.cluster.plan, self.cluster.provider, self._child)
        if args.plan.gateways_join and not args.plan.pool_gateways:
            # Where no machine of the plan is a node, the cloud's own DNS serves the cloud's nodes.
            region_dns(
                args.plan, args.cluster, self.cluster.provider, parent=self, after=[dns, *joins, *groups]
            )
        self.ready = (namespace, *room, *ways, dns)
        self.register_outputs({"kubeconfig": self.cluster.kubeconfig})

    def _open_firewalls(self) -> None:
        for role, ingress in machine_firewalls(self._args):
            self._place.firewall(role, ingress, self._child)

    def _machine(self, node: NodePlan) -> Machine:
        # The control plane's machine holds etcd: losing it loses the cluster.
        options = pulumi.ResourceOptions(parent=self, protect=node.role == "control-plane")
        return self._place.machine(node, options)

    def _in_cluster(self, after: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, provider=self.cluster.provider, depends_on=after)

    def _control_plane(self, machines: dict[str, Machine]) -> ClusterAccess:
        args = self._args
        if args.managed:
            cluster = args.managed(self._place, self._child)
            seed = stack_seed(self)
            if not args.plan.gateways_join:
                self._ways = standalone_gateways(args, machines, seed, self)
            return managed_control_plane(self._name, args, cluster, seed, self, after=self._ways)
        return kubeadm_control_plane(self._name, args, machines[args.plan.control_plane[0].name], self)

    def _gateways(self, after: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
        """The gateways, and then the agents that choose among them."""
        args = self._args
        agent = RouteAgentArgs(
            region=args.plan,
            plan=args.cluster.plan,
            images=args.cluster.images,
            key=secret(self.cluster.seed.apply(lambda seed: agent_key(seed, args.plan.name))),
        )
        options = pulumi.ResourceOptions(parent=self, providers=[self.cluster.provider], depends_on=after)
        files = AgentFiles(f"{self._name}-gateway-agent", agent, GATEWAY_NAMESPACE, options)
        router = SubnetRouter(
            f"{self._name}-subnet-router",
            SubnetRouterArgs(
                region=args.plan,
                agent=files,
                images=args.cluster.images,
                tailnet=args.tailnet,
                keys={node.name: args.tailnet.key(node, args.plan.tag, self) for node in args.plan.gateways},
                namespace=GATEWAY_NAMESPACE,
                api_service=str(args.cluster.plan.service_cidr[1]),
                pool=pool_gateway(args.plan, args.cluster.plan),
            ),
            pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[files])),
        )
        if not (args.plan.control_plane or args.plan.workers):
            return [router]  # a cloud's own nodes have the network's routes
        nodes = RouteAgent(
            f"{self._name}-route-agent",
            agent,
            pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[router])),
        )
        return [router, nodes]

    def _join_nodes(self, machines: dict[str, Machine]) -> list[pulumi.Resource]:
        args = self._args
        factory = NodeFactory(
            cluster=args.cluster, access=self.cluster, tailnet=args.tailnet, region=args.plan, parent=self
        )
        joins: list[pulumi.Resource] = []
        for node in args.plan.nodes if args.plan.gateways_join else ():
            if node.name not in machines:
                continue
            machine = machines[node.name]
            after = [] if node.role == "control-plane" else [factory.bootstrap(machine, node)]
            joins.append(factory.join(machine, node, after=after))
        return joins

    def _node_groups(self) -> list[pulumi.Resource]:
        args = self._args
        groups: dict[str, list[NodePlan]] = {}
        for node in args.plan.nodes:
            if node.group:
                groups.setdefault(node.group, []).append(node)
        return [
            NodeGroup(
                f"{self._name}-{group}",
                NodeGroupArgs(
                    group=group,
                    nodes=nodes,
                    region=args.plan,
                    place=self._place,
                    cluster=args.cluster,
                    access=self.cluster,
                ),
                self._child,
            ).joined
            for group, nodes in groups.items()
        ]


def _by_cloud(node: NodePlan, plan: RegionPlan) -> bool:
    """A node that comes with the cluster."""
    return plan.pool_gateways and node.role == "gateway"
