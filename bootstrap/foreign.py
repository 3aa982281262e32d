"""What a machine says of itself in a cluster whose control plane is a cloud's, of which it is no machine.

The operator declares all of it before the machine registers. The kubelet says it once more, because a Node that
somebody deleted comes back as the kubelet alone describes it, and would be taken for a broken machine of the cloud.
"""

from __future__ import annotations

from network.managed import ControlPlaneKind

# Pods that do not ask for machines outside the cloud stay in it: its own DNS, konnectivity-agent, metrics-server.
TAINT = {"key": "tailspan.dev/foreign", "value": "true", "effect": "NoSchedule"}


def labels(kind: ControlPlaneKind) -> dict[str, str]:
    """
    GKE's controllers (lifecycle, routes, IPAM) pass by nodes with the first one (kubernetes/cloud-provider-gcp#1081);
    the second keeps a node out of the cloud's load balancers.
    """
    if kind == "kubeadm":
        return {}
    if kind == "eks":
        # Its cloud controller would look for an instance of that name, and AWS's own DaemonSets stay away by it.
        return {"eks.amazonaws.com/compute-type": "hybrid"}
    return {
        "components.gke.io/gke-unmanaged-node": "true",
        "node.kubernetes.io/exclude-from-external-load-balancers": "true",
    }


def taints(kind: ControlPlaneKind) -> list[dict[str, str]]:
    """The taints of such a node."""
    return [] if kind == "kubeadm" else [dict(TAINT)]
