"""The control plane of a cloud region: a machine that runs kubeadm, or a cluster of the cloud."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as kubernetes

from bootstrap.script import control_plane_script
from components.cluster import (
    ClusterAccess,
    decode_credentials,
    node_admission,
    operator_kubeconfig,
    stack_seed,
)
from components.managed_cluster import foreign_admission, system_pods
from components.nodes import connector_of, run_script
from components.region import RegionArgs
from components.secrets import secret
from providers.base import Machine
from providers.managed import ManagedCluster


def kubeadm_control_plane(
    name: str, args: RegionArgs, machine: Machine, parent: pulumi.Resource
) -> ClusterAccess:
    """The machine's script makes it, and prints the CA and the operator's credential."""
    node = args.plan.control_plane[0]
    script = secret(
        connector_of(node, args.plan, args.tailnet, parent).apply(
            lambda connector: control_plane_script(args.cluster, args.plan, node, connector)
        )
    )
    command = run_script(machine, script, parent, protect=True)
    address: pulumi.Input[str] = machine.public_address if args.access.api == "public" else str(node.node_ip)
    credentials = secret(command.stdout.apply(decode_credentials))
    kubeconfig = pulumi.Output.all(credentials, address).apply(
        lambda values: operator_kubeconfig(values[0][1], values[1], args.cluster.endpoint)
    )
    provider = _provider(name, args, kubeconfig, parent)
    return ClusterAccess(
        ca=credentials.apply(lambda pair: str(pair[0])),
        kubeconfig=kubeconfig,
        seed=stack_seed(parent),
        provider=provider,
        ready=node_admission(provider, parent),
    )


def managed_control_plane(
    name: str,
    args: RegionArgs,
    cluster: ManagedCluster,
    seed: pulumi.Output[str],
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource] = (),
) -> ClusterAccess:
    """
    What a cloud's cluster lacks for machines that are not its own, it gets before the first of them comes. `after`:
    what leads the operator to its API server.
    """
    kubeconfig = secret(cluster.kubeconfig)
    provider = _provider(name, args, kubeconfig, parent, after)
    admission = [] if cluster.hybrid else foreign_admission(provider, parent)
    return ClusterAccess(
        ca=secret(cluster.ca),
        kubeconfig=kubeconfig,
        seed=seed,
        provider=provider,
        server=cluster.server,
        hybrid=cluster.hybrid,
        ready=[
            *admission,
            *system_pods(args.cluster, cluster.server, provider, parent),
            *cluster.nodes,
        ],
    )


def _provider(
    name: str,
    args: RegionArgs,
    kubeconfig: pulumi.Output[str],
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource] = (),
) -> kubernetes.Provider:
    return kubernetes.Provider(
        f"{name}-cluster",
        kubeconfig=kubeconfig,
        # A renewed credential is not another cluster; without this it would replace every object.
        cluster_identifier=args.cluster.endpoint,
        # Names of ConfigMaps and Secrets stand in manifests on machines: their data changes in place.
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=after),
    )
