"""From a machine to a Ready node, in two resources: its script over SSH, and its admission by the operator."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

import pulumi

from bootstrap.cni import CNI_LABEL
from bootstrap.script import Cluster, Join, node_script
from components.access import as_root, connection
from components.cluster import ClusterAccess
from components.command import LocalCommand, RemoteCommand
from components.tailnet import Tailnet, hostnames
from network.plan import NodePlan, RegionPlan
from providers.base import Machine

READY_SECONDS = 300


def node_labels(node: NodePlan, region: RegionPlan) -> dict[str, str]:
    """
    Labels that the operator declares. A kubelet may set most labels of its own node, but none under
    node-restriction.kubernetes.io/ (Kubernetes: NodeRestriction), so only those decide where trusted pods run.
    """
    labels = {
        "topology.kubernetes.io/region": region.name,
        "topology.kubernetes.io/zone": region.name,
        "node-restriction.kubernetes.io/tailspan-region": region.name,
        "node-restriction.kubernetes.io/tailspan-role": node.role,
        "tailspan.dev/role": node.role,
        CNI_LABEL: region.cni,
    }
    if node.gpu:
        labels["tailspan.dev/gpu"] = node.gpu.type
        labels["tailspan.dev/gpu-count"] = str(node.gpu.count)
    return labels


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
        self._region = region
        self._parent = parent
        # Secrets, and so is all that is made of them. Once for all machines: a preview waits for each output.
        self._admission = pulumi.Output.all(access.ca, access.seed)
        self._operator = pulumi.Output.all(access.kubeconfig, access.seed, tailnet.api())

    def bootstrap(self, machine: Machine, node: NodePlan, *, key: pulumi.Output[str] | None) -> RemoteCommand:
        """Send the machine its script. A `key` makes it a gateway with a connector of its own."""
        if key is None:
            script = self._admission.apply(lambda known: self._script(node, known[0], known[1]))
        else:
            known = pulumi.Output.all(self._access.ca, self._access.seed, key)
            script = known.apply(lambda values: self._script(node, *values))
        return run_script(machine, script, self._parent)

    def _script(self, node: NodePlan, ca: str, seed: str, key: str | None = None) -> str:
        token = bootstrap_token(seed, node)
        join = Join(ca=ca, token=token, hostname=hostnames(node)[-1], key=key)
        return node_script(self._cluster, self._region, node, join, connector=key is not None)

    def join(
        self, machine: Machine, node: NodePlan, *, device: bool, after: Sequence[pulumi.Resource]
    ) -> LocalCommand:
        """Declare the Node, approve exactly its certificate, wait until it is Ready; on delete drain and forget it."""
        *former, current = hostnames(node) if self._region.kind == "gpu" else (node.name,)
        request = self._operator.apply(
            lambda values: json.dumps(
                {
                    "kubeconfig": values[0],
                    "node": declared_node(node, self._region, machine.provider_id),
                    "token": None if node.role == "control-plane" else bootstrap_token(values[1], node),
                    "device": {"tailnet": values[2], "hostname": current, "replaces": former}
                    if device
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
            # The control plane's node goes with its machine: nobody would be left to drain it.
            delete=None if node.role == "control-plane" else "python -m ops v1 leave",
            stdin=request,
            opts=pulumi.ResourceOptions(parent=self._parent, depends_on=[*after, *self._access.ready]),
        )


def declared_node(node: NodePlan, region: RegionPlan, provider_id: str) -> dict[str, Any]:
    """What ops/ declares before the machine registers; a foreign provider ID keeps cloud controllers away from it."""
    return {
        "name": node.name,
        "pod_cidr": str(node.pod_cidr),
        "provider_id": provider_id,
        "labels": node_labels(node, region),
        "taints": [],
        "generation": node.generation,
    }


def run_script(
    machine: Machine, script: pulumi.Output[str], parent: pulumi.Resource, *, protect: bool = False
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
            depends_on=[machine.resource] if machine.resource else None,
            protect=protect,
        ),
    )
