"""From a machine to a Ready node, in two resources: its script over SSH, and its admission by the operator."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import pulumi

from bootstrap import foreign
from bootstrap.agent import has_agent
from bootstrap.cni import CNI_LABEL
from bootstrap.connector import has_connector
from bootstrap.eks import HybridIdentity, eks_script
from bootstrap.eks import provider_id as eks_provider_id
from bootstrap.gpu import gpu_labels, gpu_taints
from bootstrap.script import NO_TOKEN_YET, Cluster, Connector, Join, admission_script, node_script
from components.access import as_root, connection
from components.cluster import ClusterAccess
from components.command import LocalCommand, RemoteCommand
from components.managed_cluster import ADMISSION
from components.route_agent import agent_key
from components.tailnet import Tailnet, hostnames
from network.managed import ControlPlaneKind
from network.plan import NodePlan, RegionPlan
from providers.base import Login, Machine
from providers.eks_pki import node_certificate
from providers.managed import HybridNodes

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
        self._admission = pulumi.Output.all(access.ca, access.seed, access.server, _identity(access.hybrid))
        self._operator = pulumi.Output.all(access.kubeconfig, access.seed, tailnet.api())

    def bootstrap(
        self, machine: Machine, node: NodePlan, after: Sequence[pulumi.Resource] = ()
    ) -> RemoteCommand:
        """Send the machine its script."""
        if has_connector(node, self._region):
            connector = connector_of(node, self._region, self._tailnet, self._parent)
            known = pulumi.Output.all(self._admission, connector)
            script = known.apply(partial(self._connected, node))
        else:
            script = self._admission.apply(lambda values: self._script(node, *values))
        return run_script(machine, script, self._parent, after=after)

    def _connected(self, node: NodePlan, known: Sequence[Any]) -> str:
        ca, seed, server, identity = known[0]
        return self._script(node, ca, seed, server, identity, known[1])

    def _provider_id(self, machine: Machine) -> str:
        """nodeadm says its own, whatever the machine's provider calls it."""
        hybrid = self._access.hybrid
        return eks_provider_id(hybrid.region, hybrid.cluster, machine.name) if hybrid else machine.provider_id

    def _script(
        self,
        node: NodePlan,
        ca: str,
        seed: str,
        server: str | None,
        identity: Identity | None,
        connector: Connector | None = None,
    ) -> str:
        token = bootstrap_token(seed, node) if server is None else NO_TOKEN_YET
        region, join = self._region, Join(ca=ca, token=token, server=server)
        # In the cloud region the agents are DaemonSets.
        own_agent = has_agent(region) and region.kind == "gpu"
        key = agent_key(seed, region.name) if own_agent else None
        if identity:
            known = _hybrid_identity(node, identity)
            return eks_script(self._cluster, region, node, known, connector, key)
        return node_script(self._cluster, region, node, join, connector, key)

    def join(self, machine: Machine, node: NodePlan, *, after: Sequence[pulumi.Resource]) -> LocalCommand:
        """Declare the Node, approve exactly its certificate, wait until it is Ready; on delete drain and forget it."""
        *former, current = hostnames(node) if has_connector(node, self._region) else (node.name,)
        kind = self._cluster.plan.control_plane
        asks = node.role != "control-plane" and self._access.hybrid is None

        def text(values: Sequence[Any], admission: dict[str, Any] | None = None) -> str:
            return json.dumps(
                {
                    "kubeconfig": values[0],
                    "node": declared_node(node, self._region, self._provider_id(machine), kind),
                    "token": bootstrap_token(values[1], node) if asks else None,
                    "device": {"tailnet": values[2], "hostname": current, "replaces": former}
                    if node.device
                    else None,
                    "ready_timeout": READY_SECONDS,
                    **({"admission": admission} if admission else {}),
                },
                sort_keys=True,
            )

        if self._access.server is None or self._access.hybrid:
            request = self._operator.apply(text)
        else:
            over_ssh = admission_over_ssh(machine, self._access.server)
            request = pulumi.Output.all(self._operator, over_ssh).apply(lambda both: text(*both))
        return LocalCommand(
            f"{node.name}-join",
            create="python -m ops v1 join",
            update="python -m ops v1 update",
            delete=_farewell(node),
            stdin=request,
            opts=pulumi.ResourceOptions(parent=self._parent, depends_on=[*after, *self._access.ready]),
        )


# Of a hybrid node: cluster, region, trust anchor, profile, role and the secret that its certificate is made from.
Identity = list[str]


def _identity(hybrid: HybridNodes | None) -> pulumi.Output[Identity | None]:
    if hybrid is None:
        return pulumi.Output.from_input(None)
    return pulumi.Output.all(
        hybrid.cluster, hybrid.region, hybrid.anchor, hybrid.profile, hybrid.role, hybrid.seed
    )


def _hybrid_identity(node: NodePlan, identity: Identity) -> HybridIdentity:
    cluster, region, anchor, profile, role, seed = identity
    made = node_certificate(seed, node.name, node.generation)
    return HybridIdentity(
        cluster=cluster,
        region=region,
        anchor=anchor,
        profile=profile,
        role=role,
        certificate=made.certificate,
        key=made.key,
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


def admission_over_ssh(machine: Machine, server: pulumi.Output[str]) -> pulumi.Output[dict[str, Any]]:
    """How ops/ brings a prepared machine the token that it makes when the machine joins (ops/admission.py)."""

    def request(values: Sequence[Any]) -> dict[str, Any]:
        return {
            "namespace": ADMISSION,
            "login": values[1],
            "command": as_root(machine.login.user, "admit"),
            "script": admission_script(values[0]),
        }

    return pulumi.Output.all(server, _login(machine.login)).apply(request)


def _login(login: Login) -> dict[str, Any]:
    """A login as ops/ reads it (ops/v1.py)."""
    return {
        "ssh_host": login.host,
        "ssh_port": login.port,
        "user": login.user,
        "host_key": login.host_key,
        **({"jump": _login(login.jump)} if login.jump else {}),
    }


def declared_node(
    node: NodePlan, region: RegionPlan, provider_id: str, kind: ControlPlaneKind = "kubeadm"
) -> dict[str, Any]:
    """What ops/ declares before the machine registers; a foreign provider ID keeps cloud controllers away from it."""
    return {
        "name": node.name,
        "pod_cidr": str(node.pod_cidr),
        "provider_id": provider_id,
        "labels": node_labels(node, region) | foreign.labels(kind),
        "taints": [*foreign.taints(kind), *gpu_taints(node, region)],
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
