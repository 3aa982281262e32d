"""From a machine to a Ready node, in two resources: its script over SSH, and its admission by the operator."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

import pulumi

from bootstrap.agent import has_agent
from bootstrap.cni import CNI_LABEL
from bootstrap.connector import has_connector
from bootstrap.gpu import gpu_labels, gpu_taints
from bootstrap.script import Cluster, Connector, Join, node_script
from components.access import as_root, connection
from components.cluster import ClusterAccess
from components.command import LocalCommand, RemoteCommand
from components.route_agent import agent_key
from components.tailnet import Tailnet, hostnames
from network.plan import NodePlan, RegionPlan
from providers.base import Machine

READY_SECONDS = 300


def node_labels(node: NodePlan, region: RegionPlan) -> dict[str, str]:
    """
    Labels that the operator declares. A kubelet may set most labels of its own node, but none under
    node-restriction.kubernetes.io/ (Kubernetes: NodeRestriction), so only those decide where trusted pods run.
    """
    return {
        "topology.kubernetes.io/region": region.name,
        "topology.kubernetes.io/zone": region.name,
        "node-restriction.kubernetes.io/tailspan-region": region.name,
        "node-restriction.kubernetes.io/tailspan-role": node.role,
        "tailspan.dev/role": node.role,
        CNI_LABEL: region.cni,
        **gpu_labels(node, region),
    }


def bootstrap_token(seed: str, node: NodePlan) -> str:
    """
    One token per machine and generation, made from the stack's secret seed, in the form `id.secret` of six and sixteen
    characters of [a-z0-9] (Kubernetes: bootstrap tokens). It works only while the machine is being admitted.
    """
    digest = hmac.new(
        bytes.fromhex(seed), f"{node.name}/{node.generation}".encode(), hashlib.sha256
    ).hexdigest()
    return f"{digest[:6]}.{digest[6:22]}"


class NodeFactory:
    """Makes nodes of one region; holds what they have in common."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        access: ClusterAccess,
        tailnet: Tailnet,
        region: RegionPlan,
        parent: pulumi.Resource,
    ) -> None:
        self._cluster = cluster
        self._access = access
        self._tailnet = tailnet
        self._region = region
        self._parent = parent
        # Secrets, and so is all that is made of them. Once for all machines: a preview waits for each output.
        self._admission = pulumi.Output.all(access.ca, access.seed)
        self._operator = pulumi.Output.all(access.kubeconfig, access.seed, tailnet.api())

    def bootstrap(
        self, machine: Machine, node: NodePlan, after: Sequence[pulumi.Resource] = ()
    ) -> RemoteCommand:
        """Send the machine its script."""
        if has_connector(node, self._region):
            connector = connector_of(node, self._region, self._tailnet, self._parent)
            known = pulumi.Output.all(self._access.ca, self._access.seed, connector)
            script = known.apply(lambda values: self._script(node, *values))
        else:
            script = self._admission.apply(lambda values: self._script(node, values[0], values[1]))
        return run_script(machine, script, self._parent, after=after)

    def _script(self, node: NodePlan, ca: str, seed: str, connector: Connector | None = None) -> str:
        region, join = self._region, Join(ca=ca, token=bootstrap_token(seed, node))
        # In the cloud region the agents are DaemonSets.
        own_agent = has_agent(region) and region.kind == "gpu"
        key = agent_key(seed, region.name) if own_agent else None
        return node_script(self._cluster, region, node, join, connector, key)

    def join(self, machine: Machine, node: NodePlan, *, after: Sequence[pulumi.Resource]) -> LocalCommand:
        """Declare the Node, approve exactly its certificate, wait until it is Ready; on delete drain and forget it."""
        *former, current = hostnames(node) if has_connector(node, self._region) else (node.name,)
        request = self._operator.apply(
            lambda values: json.dumps(
                {
                    "kubeconfig": values[0],
                    "node": declared_node(node, self._region, machine.provider_id),
                    "token": None if node.role == "control-plane" else bootstrap_token(values[1], node),
                    "device": {"tailnet": values[2], "hostname": current, "replaces": former}
                    if node.device
                    else None,
                    "ready_timeout": READY_SECONDS,
                },
                sort_keys=True,
            )
        )
        return LocalCommand(
            f"{node.name}-join",
            create="python -m ops v1 join",
            update="python -m ops v1 update",
            delete=_farewell(node),
            stdin=request,
            opts=pulumi.ResourceOptions(parent=self._parent, depends_on=[*after, *self._access.ready]),
        )


def _farewell(node: NodePlan) -> str | None:
    """The control plane's node goes with its machine, nobody would be left to drain it; but its device stays behind."""
    if node.role == "control-plane":
        return "python -m ops v1 device-delete" if node.device else None
    return "python -m ops v1 leave"


def connector_of(
    node: NodePlan, region: RegionPlan, tailnet: Tailnet, parent: pulumi.Resource
) -> pulumi.Output[Connector | None]:
    """What the machine's own Tailscale is told, with a key made for it; None for a machine that has none."""
    if not has_connector(node, region):
        return pulumi.Output.from_input(None)
    hostname = hostnames(node)[-1]
    return tailnet.key(node, region.tag, parent).apply(lambda key: Connector(hostname=hostname, key=key))


def declared_node(node: NodePlan, region: RegionPlan, provider_id: str) -> dict[str, Any]:
    """What ops/ declares before the machine registers; a foreign provider ID keeps cloud controllers away from it."""
    return {
        "name": node.name,
        "pod_cidr": str(node.pod_cidr),
        "provider_id": provider_id,
        "labels": node_labels(node, region),
        "taints": gpu_taints(node, region),
        "generation": node.generation,
    }


def run_script(
    machine: Machine,
    script: pulumi.Output[str],
    parent: pulumi.Resource,
    *,
    protect: bool = False,
    after: Sequence[pulumi.Resource] = (),
) -> RemoteCommand:
    """
    Run a node script as root. `update` is explicit, so a changed login or a rotated key runs the script again and
    never makes the node anew; a machine that goes away with all that is on it needs no farewell.
    """
    return RemoteCommand(
        f"{machine.name}-bootstrap",
        connection=connection(machine.login),
        create=as_root(machine.login.user, "join"),
        update=as_root(machine.login.user, "join"),
        delete=as_root(machine.login.user, "leave"),
        stdin=script,
        opts=pulumi.ResourceOptions(
            parent=parent,
            additional_secret_outputs=["stdout"],
            deleted_with=machine.resource,
            depends_on=[*([machine.resource] if machine.resource else []), *after],
            protect=protect,
        ),
    )
