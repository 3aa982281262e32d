"""Scripts of machines beside an EKS cluster: hybrid nodes, and the gateways of its own region, which are no nodes.

A machine outside AWS needs a way to the private endpoint before it is a node. So its kubelet first runs alone, without
an API server, for static pods only; nodeadm, Amazon's program, makes it a node then. A gateway in EKS's own VPC stays
alone: a hybrid node may not lie in the VPC of its cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from bootstrap import foreign
from bootstrap.script import Cluster, Connector, Script, function, machine_files, put_text
from network.plan import NetworkPlan, NodePlan, RegionPlan

CERTIFICATE, KEY = "/etc/iam/pki/server.pem", "/etc/iam/pki/server.key"
NODE_CONFIG = "/etc/tailspan/nodeadm.yaml"


@dataclass(frozen=True, kw_only=True)
class HybridIdentity:
    """By what IAM knows a machine, and the cluster that it joins; `key` is a secret."""

    cluster: str
    region: str
    anchor: str
    profile: str
    role: str
    certificate: str
    key: str


def provider_id(region: str, cluster: str, node: str) -> str:
    """As nodeadm has it (aws/eks-hybrid: internal/kubelet/config.go); a declared Node must say the same."""
    return f"eks-hybrid:///{region}/{cluster}/{node}"


def node_config(node: NodePlan, plan: NetworkPlan, identity: HybridIdentity) -> str:
    """NodeConfig of nodeadm (aws/eks-hybrid: doc/api.md); the node's name is the certificate's."""
    return yaml.safe_dump(
        {
            "apiVersion": "node.eks.aws/v1alpha1",
            "kind": "NodeConfig",
            "spec": {
                "cluster": {"name": identity.cluster, "region": identity.region},
                "hybrid": {
                    "iamRolesAnywhere": {
                        "nodeName": node.name,
                        "trustAnchorArn": identity.anchor,
                        "profileArn": identity.profile,
                        "roleArn": identity.role,
                        "certificatePath": CERTIFICATE,
                        "privateKeyPath": KEY,
                    }
                },
                "kubelet": {
                    "config": {
                        "staticPodPath": "/etc/kubernetes/manifests",
                        "clusterDNS": [str(plan.dns_ip)],
                        "maxPods": plan.max_pods,
                        "registerWithTaints": foreign.taints(plan.control_plane),
                        "failSwapOn": False,
                    },
                    "flags": [f"--node-ip={node.node_ip}"],
                },
            },
        },
        sort_keys=True,
    )


def eks_script(
    cluster: Cluster,
    region: RegionPlan,
    node: NodePlan,
    identity: HybridIdentity | None,
    connector: Connector | None,
    agent_key: str | None,
) -> str:
    """The script of a machine: a hybrid node with an identity, a gateway that is no node without one."""
    script = Script(cluster, region, node)
    machine_files(script, kubelet=False)
    script.put("/etc/tailspan/kubelet.yaml", _alone(cluster.plan), fill_in=True)
    script.put("/etc/systemd/system/tailspan-kubelet.service", _unit(node))
    config = certificate = key = ""
    if identity:
        config = put_text(NODE_CONFIG, node_config(node, cluster.plan, identity))
        certificate = put_text(CERTIFICATE, identity.certificate, "0600")
        key = put_text(KEY, identity.key, "0600")
    script.functions.append(function("hybrid_identity", config, certificate, key))
    script.connector(connector)
    script.agent(agent_key)
    return script.render("eks.sh", "kubelet")


def _alone(plan: NetworkPlan) -> str:
    """A kubelet that asks no API server and answers nobody (kubelet's standalone mode)."""
    return yaml.safe_dump(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "staticPodPath": "/etc/kubernetes/manifests",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "enableServer": False,
            "maxPods": plan.max_pods,
            "cgroupDriver": "@CGROUP_DRIVER@",
            "resolvConf": "@RESOLV_CONF@",
            "failCgroupV1": False,
            "failSwapOn": False,
        },
        sort_keys=True,
    )


def _unit(node: NodePlan) -> str:
    """Under a name of its own: nodeadm writes kubelet.service."""
    return f"""\
[Unit]
Description=kubelet without an API server: the way to one
After=containerd.service tailspan-network.service
Wants=containerd.service tailspan-network.service
Conflicts=kubelet.service
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/sh -c 'exec "$(command -v kubelet)" --config=/etc/tailspan/kubelet.yaml \\
  --hostname-override={node.name} --node-ip={node.node_ip}'
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
