"""Cilium for the regions that ask for it: one release of its chart, with the values that the network plan dictates."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from bootstrap.cni import CILIUM_REPOSITORY, CILIUM_VERSION, cilium_values
from network.plan import NetworkPlan


def cilium_release(
    plan: NetworkPlan, provider: kubernetes.Provider, parent: pulumi.Resource
) -> kubernetes.helm.v3.Release | None:
    """
    The release, or None if every region is plain. It is not awaited: its DaemonSet would hang the update for as long
    as one remote machine is dead, and the joins wait for Ready nodes anyway.
    """
    regions = [region for region in plan.regions if region.cni == "cilium"]
    if not regions:
        return None
    return kubernetes.helm.v3.Release(
        "cilium",
        name="cilium",
        namespace="kube-system",
        chart="cilium",
        version=CILIUM_VERSION,
        repository_opts={"repo": CILIUM_REPOSITORY},
        values=cilium_values(regions, plan),
        skip_await=True,
        opts=pulumi.ResourceOptions(parent=parent, provider=provider),
    )
