"""kubeadm's configuration for the control plane."""

from __future__ import annotations

from typing import Any

import yaml

from bootstrap.images import Images
from network.plan import NetworkPlan, NodePlan
from network.rules import CLUSTER_DOMAIN

API_PORT = 6443


def _arguments(**values: object) -> list[dict[str, str]]:
    return [{"name": name.replace("_", "-"), "value": str(value)} for name, value in sorted(values.items())]


def kubeadm_config(
    node: NodePlan,
    plan: NetworkPlan,
    images: Images,
    *,
    version: str,
    endpoint: str,
    public_names: tuple[str, ...],
    unreachable_seconds: int,
) -> str:
    """
    InitConfiguration, ClusterConfiguration and KubeProxyConfiguration in one file.

    The endpoint is a name from the first day, so that the control plane can grow without new certificates. The phase
    `bootstrap-token` is skipped: it would make a token and a binding by which any token holder gets any node's
    certificate; tailspan approves each request by itself. CoreDNS runs per region and is not kubeadm's.
    """
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": str(node.node_ip), "bindPort": API_PORT},
            "skipPhases": ["addon/coredns", "bootstrap-token", "show-join-command"],
            "nodeRegistration": {
                "name": node.name,
                "criSocket": "unix:///run/containerd/containerd.sock",
                "imagePullPolicy": "IfNotPresent",
                # kubeadm writes the IPv4 service address in brackets and Go 1.26 refuses to parse that.
                "ignorePreflightErrors": ["HTTPProxyCIDR", "Swap", "SystemVerification", "NumCPU", "Mem"],
                "kubeletExtraArgs": _arguments(node_ip=node.node_ip),
            },
        },
        _cluster(plan, images, version, endpoint, public_names, unreachable_seconds),
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clusterCIDR": str(plan.pod_supernet),
            # Both need rights that a kube-proxy on a rented or nested machine may not have; the defaults are enough.
            "oomScoreAdj": 0,
            "conntrack": {"maxPerCore": 0, "min": 0},
        },
    ]
    return yaml.safe_dump_all(documents, sort_keys=True)


def _cluster(
    plan: NetworkPlan,
    images: Images,
    version: str,
    endpoint: str,
    public_names: tuple[str, ...],
    unreachable_seconds: int,
) -> dict[str, Any]:
    return {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "kubernetesVersion": f"v{version}",
        "controlPlaneEndpoint": f"{endpoint}:{API_PORT}",
        "imageRepository": images.kubernetes_repository,
        "encryptionAlgorithm": "ECDSA-P256",
        # Nothing here renews the control plane's certificates, and kubeadm's default ends after one year.
        "certificateValidityPeriod": "43800h0m0s",
        "networking": {
            "serviceSubnet": str(plan.service_cidr),
            "podSubnet": str(plan.pod_supernet),
            "dnsDomain": CLUSTER_DOMAIN,
        },
        "apiServer": {
            "certSANs": [endpoint, str(plan.api_address), *public_names],
            # A region that is cut off keeps its pods so long (DefaultTolerationSeconds).
            "extraArgs": _arguments(
                default_not_ready_toleration_seconds=unreachable_seconds,
                default_unreachable_toleration_seconds=unreachable_seconds,
            ),
        },
        # kube-controller-manager cannot allocate pod ranges per region; the plan does. With one control plane machine
        # a leader election only delays its own return.
        "controllerManager": {"extraArgs": _arguments(allocate_node_cidrs="false", leader_elect="false")},
        "scheduler": {"extraArgs": _arguments(leader_elect="false")},
    }
