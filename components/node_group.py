"""A cloud region's node group: a fixed number of resources, however many nodes it has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from bootstrap.group import group_values
from bootstrap.script import Cluster, group_script
from components.access import as_root
from components.cluster import ClusterAccess
from components.command import LocalCommand
from components.nodes import READY_SECONDS, bootstrap_token, node_labels
from components.secrets import secret
from network.plan import NodePlan, RegionPlan
from providers.base import MachineGroup, RegionProvider

# Set by the operator and out of a kubelet's reach (see `node_labels`): ops/ finds a group's nodes by it.
GROUP_LABEL = "node-restriction.kubernetes.io/tailspan-group"
# Machines that ops/ works on side by side: each is one SSH connection and one wait.
PARALLEL = 16


@dataclass(frozen=True, kw_only=True)
class NodeGroupArgs:
    """The group's nodes (at least one), and what they join."""

    group: str
    nodes: Sequence[NodePlan]
    region: RegionPlan
    place: RegionProvider
    cluster: Cluster
    access: ClusterAccess


class NodeGroup(pulumi.ComponentResource):
    """
    Three resources: what leaves, the machines, what joins. The first is updated before the machines and the last
    after them, so that a node is drained before its machine goes, and all of it is undone in the opposite order.
    """

    # Done when every node of the group is Ready.
    joined: pulumi.Resource

    def __init__(self, name: str, args: NodeGroupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tailspan:components:NodeGroup", name, group_inputs(args), opts)
        self._name = name
        self._args = args
        retire = self._retire()
        machines = args.place.machine_group(
            name, args.nodes, pulumi.ResourceOptions(parent=self, depends_on=[retire])
        )
        self.joined = self._join(machines)
        self.register_outputs({})

    def _retire(self) -> LocalCommand:
        """Nodes that are in the cluster and not in the stack any more; none when the group is new."""
        wanted = [node.name for node in self._args.nodes]
        request = self._args.access.kubeconfig.apply(
            lambda kubeconfig: json.dumps({**self._group(kubeconfig), "wanted": wanted}, sort_keys=True)
        )
        # Its machines are gone when it is deleted; it forgets those nodes whose join failed and was never undone.
        return self._command("retire", request, delete="python -m ops v1 group-forget", after=[])

    def _join(self, machines: MachineGroup) -> LocalCommand:
        access = self._args.access
        request = pulumi.Output.all(access.kubeconfig, access.ca, access.seed, machines.hosts).apply(
            lambda values: json.dumps(
                {
                    **self._group(values[0]),
                    "script": group_script(self._args.cluster, self._args.region, values[1]),
                    "login": {"user": machines.user, "command": as_root(machines.user, "join")},
                    "labels": self._labels(),
                    "machines": self._machines(values[2], values[3], machines.provider_ids),
                    "ready_timeout": READY_SECONDS,
                },
                sort_keys=True,
            )
        )
        after = [machines.resource, *access.ready]
        return self._command("join", request, delete="python -m ops v1 group-leave", after=after)

    def _command(
        self, role: str, request: pulumi.Output[str], *, delete: str, after: Sequence[pulumi.Resource]
    ) -> LocalCommand:
        return LocalCommand(
            f"{self._name}-{role}",
            create=f"python -m ops v1 group-{role}",
            update=f"python -m ops v1 group-{role}",
            delete=delete,
            stdin=secret(request),
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _group(self, kubeconfig: str) -> dict[str, Any]:
        group = {"region": self._args.region.name, "name": self._args.group}
        return {"kubeconfig": kubeconfig, "group": group, "parallel": PARALLEL}

    def _labels(self) -> dict[str, str]:
        return node_labels(self._args.nodes[0], self._args.region) | {GROUP_LABEL: self._args.group}

    def _machines(
        self, seed: str, hosts: Mapping[str, Mapping[str, Any]], provider_ids: Mapping[str, str]
    ) -> dict[str, Any]:
        """What each machine has for itself; everything else stands once."""
        found = {}
        for node in self._args.nodes:
            token = bootstrap_token(seed, node)
            found[node.name] = {
                "pod_cidr": str(node.pod_cidr),
                "provider_id": provider_ids[node.name],
                "token": token,
                "values": group_values(node, token),
                "host": hosts[node.name],
            }
        return found


def group_inputs(args: NodeGroupArgs) -> dict[str, Any]:
    """What a group says of itself to policies and reviewers."""
    return {
        "region": args.region.name,
        "name": args.group,
        "count": len(args.nodes),
        "machineType": args.nodes[0].machine_type,
    }
