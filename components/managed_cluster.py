"""What a cloud's cluster needs before machines that are not the cloud's can be nodes of it."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from bootstrap.gateway import NAMESPACE as GATEWAY_NAMESPACE
from bootstrap.gateway import pod_settings
from bootstrap.script import Cluster
from components import kube
from components.cluster import node_admission
from network.plan import NetworkPlan

# Accounts in it may file certificate requests and nothing else. ops/ makes one per machine, while it is admitted.
ADMISSION = "tailspan-admission"
PROXY = "tailspan-kube-proxy"
_RBAC = "rbac.authorization.k8s.io"
_CRITICAL = ["system-node-critical", "system-cluster-critical"]


def foreign_admission(provider: kubernetes.Provider, parent: pulumi.Resource) -> list[pulumi.Resource]:
    """
    As `node_admission`, where bootstrap tokens are unknown: a machine asks as a ServiceAccount. Renewals are bound to
    the built-in approver, which kube-controller-manager has; docs/clouds/gke.md says what is known of GKE's.
    """
    options = pulumi.ResourceOptions(parent=parent, provider=provider)
    namespace = kube.Namespace("tailspan-admission", metadata={"name": ADMISSION}, opts=options)
    return [namespace, *node_admission(provider, parent, f"system:serviceaccounts:{ADMISSION}")]


def system_pods(
    cluster: Cluster, server: pulumi.Output[str], provider: kubernetes.Provider, parent: pulumi.Resource
) -> list[pulumi.Resource]:
    """What GKE gives its own nodes only: kube-proxy, and room for pods that are critical to a node."""
    if cluster.plan.control_plane != "gke":
        return []  # EKS sends its kube-proxy to hybrid nodes, and has no such quota
    options = pulumi.ResourceOptions(parent=parent, provider=provider)
    return [KubeProxy("kube-proxy", cluster, server, options)]


def critical_pods(plan: NetworkPlan, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """
    GKE admits pods of the two system priorities only in namespaces with a quota for them, and of its own only
    kube-system has one. The opts order the namespace first.
    """
    if plan.control_plane != "gke":
        return []
    return [
        kube.ResourceQuota(
            "tailscale-critical-pods",
            metadata={"name": "critical-pods", "namespace": GATEWAY_NAMESPACE},
            spec={
                "hard": {"pods": "1000000"},
                "scopeSelector": {
                    "matchExpressions": [
                        {"scopeName": "PriorityClass", "operator": "In", "values": _CRITICAL}
                    ]
                },
            },
            opts=opts,
        )
    ]


class KubeProxy(pulumi.ComponentResource):
    """
    kube-proxy on the machines of the plan, with the settings that kubeadm gets (bootstrap/kubeadm.py). GKE's own runs
    where its label node.kubernetes.io/kube-proxy-ds-ready is, from files of GKE's node image: those machines get no
    such label, and this one asks for a label that only the operator can set.
    """

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        server: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tailspan:components:KubeProxy", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        account = kube.ServiceAccount(f"{name}-account", metadata=_metadata(), opts=child)
        binding = kube.ClusterRoleBinding(
            f"{name}-binding",
            metadata={"name": "tailspan:kube-proxy"},
            role_ref={"apiGroup": _RBAC, "kind": "ClusterRole", "name": "system:node-proxier"},
            subjects=[{"kind": "ServiceAccount", "name": PROXY, "namespace": "kube-system"}],
            opts=child,
        )
        files = kube.ConfigMap(
            f"{name}-config",
            metadata=_metadata(),
            data={
                "config.conf": yaml.safe_dump(_configuration(cluster.plan), sort_keys=True),
                "kubeconfig.conf": server.apply(_kubeconfig),
            },
            opts=child,
        )
        kube.DaemonSet(
            f"{name}-daemonset",
            # One dead node must not stop every update.
            metadata=_metadata() | {"annotations": {"pulumi.com/skipAwait": "true"}},
            spec={
                "selector": {"matchLabels": {"app": PROXY}},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
                "template": {"metadata": {"labels": {"app": PROXY}}, "spec": _pod(cluster)},
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[account, binding, files]),
        )
        self.register_outputs({})


def _metadata() -> dict[str, Any]:
    return {"name": PROXY, "namespace": "kube-system", "labels": {"app": PROXY}}


def _configuration(plan: NetworkPlan) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": str(plan.pod_supernet),
        "clientConnection": {"kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf"},
        "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def _kubeconfig(server: str) -> str:
    """Not by the Service's address: that is what kube-proxy is to make reachable."""
    mounted = "/var/run/secrets/kubernetes.io/serviceaccount"
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "default",
                    "cluster": {"server": server, "certificate-authority": f"{mounted}/ca.crt"},
                }
            ],
            "users": [{"name": "default", "user": {"tokenFile": f"{mounted}/token"}}],
            "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
            "current-context": "default",
        },
        sort_keys=True,
    )


def _pod(cluster: Cluster) -> dict[str, Any]:
    host = {"xtables-lock": ("/run/xtables.lock", "FileOrCreate"), "lib-modules": ("/lib/modules", "")}
    planned = {"key": "node-restriction.kubernetes.io/tailspan-role", "operator": "Exists"}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [planned]}]}
    mounts: list[dict[str, Any]] = [{"name": "files", "mountPath": "/var/lib/kube-proxy", "readOnly": True}]
    mounts += [
        {"name": name, "mountPath": path, "readOnly": name == "lib-modules"}
        for name, (path, _) in host.items()
    ]
    return pod_settings() | {
        "serviceAccountName": PROXY,
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
        "containers": [
            {
                "name": "kube-proxy",
                "image": cluster.images.kube_proxy(cluster.version),
                "imagePullPolicy": "IfNotPresent",
                "command": [
                    "/usr/local/bin/kube-proxy",
                    "--config=/var/lib/kube-proxy/config.conf",
                    "--hostname-override=$(NODE_NAME)",
                ],
                "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                "securityContext": {"privileged": True},
                "volumeMounts": mounts,
            }
        ],
        "volumes": [
            {"name": "files", "configMap": {"name": PROXY}},
            *(
                {"name": name, "hostPath": {"path": path, "type": kind}}
                for name, (path, kind) in host.items()
            ),
        ],
    }
