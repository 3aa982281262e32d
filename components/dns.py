"""CoreDNS in every region: a gateway that hiccups must not be a DNS outage of the region behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from bootstrap.foreign import TAINT as FOREIGN_TAINT
from bootstrap.gpu import TAINT as GPU_TAINT
from bootstrap.images import Images
from bootstrap.script import Cluster
from components import kube
from network.plan import NetworkPlan, RegionPlan
from network.rules import CLUSTER_DOMAIN

NAMESPACE = "kube-system"
ROLLOUT_SECONDS = 300


@dataclass(frozen=True)
class _Names:
    """What the objects are called: as kubeadm's, or beside a cloud's own DNS, which keeps serving its own nodes."""

    account: str
    role: str
    service: str

    @property
    def labels(self) -> dict[str, str]:
        return {"k8s-app": self.service}

    def metadata(self, name: str) -> dict[str, Any]:
        return {"name": name, "namespace": NAMESPACE, "labels": self.labels}


def _names(plan: NetworkPlan) -> _Names:
    if plan.control_plane == "kubeadm":
        return _Names("coredns", "system:coredns", "kube-dns")
    # EKS has a coredns, GKE a kube-dns; a Service of either would find our pods by their label.
    return _Names("tailspan-dns", "tailspan:dns", "tailspan-dns")


COREFILE = f"""\
.:53 {{
    errors
    health {{
        lameduck 5s
    }}
    ready
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }}
    prometheus :9153
    forward . /etc/resolv.conf {{
        max_concurrent 1000
    }}
    cache 30
    reload
}}
"""


class ClusterDns(pulumi.ComponentResource):
    """What the CoreDNS of all regions share: rights, configuration and the Service, which prefers near endpoints."""

    def __init__(
        self,
        name: str,
        plan: NetworkPlan,
        provider: kubernetes.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tailspan:components:ClusterDns", name, None, opts)
        child = pulumi.ResourceOptions(parent=self, provider=provider)
        names = _names(plan)
        account = names.metadata(names.account)
        kube.ServiceAccount(f"{name}-account", metadata=account, opts=child)
        reads = {"verbs": ["list", "watch"]}
        kube.ClusterRole(
            f"{name}-role",
            metadata={"name": names.role},
            rules=[
                reads | {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"]},
                reads | {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"]},
            ],
            opts=child,
        )
        kube.ClusterRoleBinding(
            f"{name}-binding",
            metadata={"name": names.role},
            role_ref={
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": names.role,
            },
            subjects=[{"kind": "ServiceAccount", "name": names.account, "namespace": NAMESPACE}],
            opts=child,
        )
        kube.ConfigMap(f"{name}-config", metadata=account, data={"Corefile": COREFILE}, opts=child)
        ports = [("dns", "UDP", 53), ("dns-tcp", "TCP", 53), ("metrics", "TCP", 9153)]
        kube.Service(
            f"{name}-service",
            # It has no endpoints until a region's pods run, and those come after it.
            metadata=names.metadata(names.service) | {"annotations": {"pulumi.com/skipAwait": "true"}},
            spec={
                "clusterIP": str(plan.dns_ip),
                "selector": names.labels,
                "trafficDistribution": "PreferClose",
                "ports": [
                    {"name": port, "protocol": protocol, "port": number} for port, protocol, number in ports
                ],
            },
            opts=child,
        )
        self.register_outputs({})


def region_dns(
    region: RegionPlan,
    cluster: Cluster,
    provider: kubernetes.Provider,
    *,
    parent: pulumi.Resource,
    after: list[pulumi.Resource],
    awaited: bool = True,
) -> kube.Deployment:
    """
    A region's CoreDNS: two pods where there are two machines for them. Not `awaited`: before there are any machines,
    it runs as soon as there are.
    """
    names = _names(cluster.plan)
    labels = names.labels | {"tailspan.dev/region": region.name}
    replicas = min(2, sum(node.role != "control-plane" for node in region.nodes))
    waiting = (
        {"pulumi.com/timeoutSeconds": str(ROLLOUT_SECONDS)} if awaited else {"pulumi.com/skipAwait": "true"}
    )
    return kube.Deployment(
        f"{region.name}-dns",
        metadata=names.metadata(f"{names.account}-{region.name}") | {"annotations": waiting},
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod(region, labels, cluster.images, names.account, replicas),
            },
        },
        opts=pulumi.ResourceOptions(parent=parent, provider=provider, depends_on=after),
    )


def _pod(
    region: RegionPlan, labels: dict[str, str], images: Images, account: str, replicas: int
) -> dict[str, Any]:
    # Not all on the machine that happens to join first: the second pod waits for a second machine.
    apart = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": labels},
        "matchLabelKeys": ["pod-template-hash"],
        "maxSkew": 1,
        "minDomains": replicas,
        "whenUnsatisfiable": "DoNotSchedule",
    }
    return {
        "serviceAccountName": account,
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "nodeSelector": {"topology.kubernetes.io/region": region.name},
        # By name: who tolerates every taint also tolerates a cordon, and a drained node gets the pod back at once.
        "tolerations": [
            {"key": taint["key"], "operator": "Exists", "effect": taint["effect"]}
            for taint in (GPU_TAINT, FOREIGN_TAINT)
        ],
        "topologySpreadConstraints": [apart],
        "affinity": {
            # The control plane's machine has other work.
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [
                                {"key": "node-role.kubernetes.io/control-plane", "operator": "DoesNotExist"}
                            ]
                        }
                    ]
                }
            },
        },
        "containers": [
            {
                "name": "coredns",
                "image": images.coredns,
                "imagePullPolicy": "IfNotPresent",
                "args": ["-conf", "/etc/coredns/Corefile"],
                "resources": {"limits": {"memory": "170Mi"}, "requests": {"cpu": "50m", "memory": "70Mi"}},
                "ports": [
                    {"name": "dns", "protocol": "UDP", "containerPort": 53},
                    {"name": "dns-tcp", "protocol": "TCP", "containerPort": 53},
                ],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 2},
                "livenessProbe": {
                    "httpGet": {"path": "/health", "port": 8080},
                    "initialDelaySeconds": 60,
                    "failureThreshold": 5,
                },
                "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": account}}],
    }
