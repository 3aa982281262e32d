"""The kubelet's configuration, its unit and the container runtime's; @NAMES@ are filled in on the machine (node.sh)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from bootstrap import foreign
from bootstrap.gpu import CONTAINERD_CDI, CONTAINERD_RUNTIME
from bootstrap.images import Images
from network.plan import NetworkPlan, NodePlan
from network.rules import CLUSTER_DOMAIN

NO_LABELS: Mapping[str, str] = {}


def kubelet_config(plan: NetworkPlan) -> str:
    """
    KubeletConfiguration v1beta1. `rotateCertificates` is what lets static pods start before the node has a
    certificate (kubernetes/kubernetes#71174): without it the kubelet would wait for the API server that the
    connector is to bring into reach.
    """
    config: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "staticPodPath": "/etc/kubernetes/manifests",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [str(plan.dns_ip)],
        "clusterDomain": CLUSTER_DOMAIN,
        "rotateCertificates": True,
        "maxPods": plan.max_pods,
        "cgroupDriver": "@CGROUP_DRIVER@",
        "resolvConf": "@RESOLV_CONF@",
        "oomScoreAdj": "@OOM_SCORE_ADJ@",
        "failCgroupV1": False,
        "failSwapOn": False,
    }
    if taints := foreign.taints(plan.control_plane):
        config["registerWithTaints"] = taints
    # The score is a number; YAML would quote its place-holder.
    return yaml.safe_dump(config, sort_keys=True).replace("'@OOM_SCORE_ADJ@'", "@OOM_SCORE_ADJ@")


def _kubelet_command(node: NodePlan, labels: Mapping[str, str]) -> str:
    bootstrap = (
        ""
        if node.role == "control-plane"
        else " --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf"
    )
    listed = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    own = f" --node-labels={listed}" if labels else ""
    return f"""\
ExecStart=/bin/sh -c 'exec "$(command -v kubelet)" --config=/etc/tailspan/kubelet.yaml{bootstrap} \\
  --kubeconfig=/etc/kubernetes/kubelet.conf --hostname-override={node.name} --node-ip={node.node_ip}{own}'
"""


def kubelet_unit(node: NodePlan, labels: Mapping[str, str] = NO_LABELS) -> str:
    """Restart=always: a kubelet that has no certificate yet exits after five minutes, its pods live on."""
    return f"""\
[Unit]
Description=kubelet: the Kubernetes node agent
After=containerd.service tailspan-network.service
Wants=containerd.service tailspan-network.service
StartLimitIntervalSec=0

[Service]
{_kubelet_command(node, labels)}Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""


def kubelet_drop_in(node: NodePlan, labels: Mapping[str, str] = NO_LABELS) -> str:
    """The command once more: Debian's kubelet package has a drop-in that would replace the unit's own."""
    return f"[Service]\nExecStart=\n{_kubelet_command(node, labels)}"


# Otherwise networkd removes routes and rules that are not its own whenever it restarts (systemd/systemd#19287).
NETWORKD = """\
[Network]
ManageForeignRoutes=no
ManageForeignRoutingPolicyRules=no
"""

NETWORK_UNIT = """\
[Unit]
Description=tailspan: routes, rules and packet filter of this machine
After=network.target cloud-init.service
Before=containerd.service kubelet.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/tailspan/network.sh up
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
"""

# GPU images often ship Docker's containerd with the CRI plugin disabled, so the file is written whole.
# What else a machine needs goes into conf.d, where no run of ours overwrites it.
CONTAINERD = """\
version = 2
imports = ["/etc/containerd/conf.d/*.toml"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = @RESTRICT_OOM@
{cdi}  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "@CNI_BIN@"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = @SYSTEMD_CGROUP@
{runtime}"""

SYSCTL = """\
net.ipv4.ip_forward=1
net.ipv4.conf.all.rp_filter=2
net.ipv4.conf.default.rp_filter=2
net.ipv4.conf.all.send_redirects=0
net.ipv4.conf.default.send_redirects=0
net.bridge.bridge-nf-call-iptables=1
net.ipv4.fib_multipath_hash_policy=1
"""

MODULES = "overlay\nbr_netfilter\ntun\nvxlan\n"


def containerd_config(images: Images, *, gpu: bool = False) -> str:
    """config.toml of containerd 1.6 and later 1.x; for a machine with GPUs 1.7 and later."""
    cdi, runtime = (CONTAINERD_CDI, CONTAINERD_RUNTIME) if gpu else ("", "")
    return CONTAINERD.format(pause=images.pause, cdi=cdi, runtime=runtime)
