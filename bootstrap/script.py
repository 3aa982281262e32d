"""Node scripts: the machine's files and values in front of files/node.sh, as one text for SSH's standard input.

Standard input and not arguments: the scripts carry a bootstrap token and a tailnet key, and arguments are visible to
every process of the machine.
"""

from __future__ import annotations

import shlex
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bootstrap import agent, foreign
from bootstrap.cni import plain_conflist
from bootstrap.connector import KEY_DIRECTORY, connector_pod
from bootstrap.gateway import CA_DIRECTORY, Tailnet
from bootstrap.gpu import GPU_UNIT, UNIT, gpu_functions, gpu_values, is_gpu_node
from bootstrap.group import BLANKS, BOOTSTRAP_TOKEN, NODE_NAME, blank_worker
from bootstrap.hostnetwork import network_env, nftables
from bootstrap.images import Images
from bootstrap.kubeadm import API_PORT, kubeadm_config
from bootstrap.kubelet import (
    MODULES,
    NETWORK_UNIT,
    NETWORKD,
    SYSCTL,
    containerd_config,
    kubelet_config,
    kubelet_drop_in,
    kubelet_unit,
)
from network.plan import NetworkPlan, NodePlan, RegionPlan

FILES = Path(__file__).parent / "files"
CONNECTOR_MANIFEST = "/etc/kubernetes/manifests/apiserver-connector.yaml"
# In place of a token that is not made yet; nobody accepts it, and it lets the kubelet start its static pods.
NO_TOKEN_YET = "comes-with-the-admission"
_END = "TAILSPAN_END_OF_FILE"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What every machine of the stack has in common."""

    plan: NetworkPlan
    images: Images
    version: str
    endpoint: str
    unreachable_seconds: int
    tailnet: Tailnet
    tailnet_ca: str | None = None


@dataclass(frozen=True, kw_only=True)
class Connector:
    """What a machine's own Tailscale is told: its name in the tailnet, and its key, a secret."""

    hostname: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Join:
    """
    What a machine needs to become a node; `token` is a secret. `server` is the API server's URL where it has no name
    of ours. There bootstrap tokens are unknown, and the join brings another one (`admission_script`).
    """

    ca: str
    token: str
    server: str | None = None


@dataclass
class Script:
    cluster: Cluster
    region: RegionPlan
    node: NodePlan
    files: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)

    def put(self, path: str, content: str, mode: str = "0644", *, fill_in: bool = False) -> None:
        self.files.append(put_text(path, content, mode, fill_in=fill_in))

    def connector(self, connector: Connector | None) -> None:
        """The functions of the two role files; without a connector they do nothing."""
        manifest = key = ""
        if connector:
            pod = connector_pod(
                self.node,
                self.region,
                self.cluster.plan,
                connector.hostname,
                self.cluster.tailnet,
                self.cluster.images,
            )
            manifest = put_text(CONNECTOR_MANIFEST, yaml.safe_dump(pod, sort_keys=True), "0600")
            key = put_text(f"{KEY_DIRECTORY}/authkey", connector.key, "0600")
        self.functions += [function("connector_manifest", manifest), function("connector_key", key)]

    def agent(self, key: str | None) -> None:
        """
        The route agent's files, and the static pod of a machine that is no gateway. The program is binary: it travels
        as text.
        """
        pod = ""
        if key:
            plan, images = self.cluster.plan, self.cluster.images
            self.files += [
                put_text(agent.CONFIG, agent.config_file(agent.region_config(self.region, plan))),
                put_text(agent.KEY, key, "0600"),
                put_text(agent.PROGRAM, b64encode(agent.zipapp()).decode(), encoded=True),
            ]
            if self.node.role != "gateway":
                manifest = agent.agent_pod(self.node, self.region, plan, images)
                pod = put_text(agent.MANIFEST, yaml.safe_dump(manifest, sort_keys=True), "0600")
        self.functions.append(function("agent_manifest", pod))

    def render(self, role_file: str, binaries: str) -> str:
        values = {
            **({} if self.node.name == NODE_NAME else {"NODE_NAME": self.node.name}),
            "DEVICE": "yes" if self.node.device else "no",
            "KUBERNETES_VERSION": self.cluster.version,
            "KUBERNETES_BINARIES": binaries,
            **gpu_values(self.node, self.region),
        }
        head = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
        body = (FILES / "node.sh").read_text()
        main = body.index("# A second operator run waits")
        return "".join(
            (
                "#!/bin/bash\nset -euo pipefail\n",
                head,
                body[:main],
                "write_files() {\n  step files\n",
                *self.files,
                "}\n",
                *self.functions,
                gpu_functions(self.node, self.region),
                (FILES / role_file).read_text(),
                "\n",
                body[main:],
            )
        )


def put_text(
    path: str, content: str, mode: str = "0644", *, fill_in: bool = False, encoded: bool = False
) -> str:
    if _END in content:
        raise ValueError(f"{path}: the content holds the line {_END}, which ends it")
    text = content if content.endswith("\n") else content + "\n"
    filler = _filler(text, fill_in, encoded)
    if filler:
        # Not a pipe: what `put` remembers as changed would be lost in a subshell.
        return f"put {mode} {path} < <({filler} <<'{_END}'\n{text}{_END}\n)\n"
    return f"put {mode} {path} <<'{_END}'\n{text}{_END}\n"


def _filler(text: str, fill_in: bool, encoded: bool) -> str:
    """What the text goes through on the machine; empty if it is written as it is."""
    if encoded:
        return "base64 -d"
    if fill_in:
        return "fill_in"
    return "fill_node" if any(blank in text for blank in BLANKS) else ""


def function(name: str, *statements: str) -> str:
    body = "".join(statements) or "  :\n"
    return f"{name}() {{\n{body}}}\n"


def machine_files(script: Script, *, kubelet: bool = True) -> None:
    """What every machine has; without `kubelet` somebody else makes it a node."""
    cluster, region, node = script.cluster, script.region, script.node
    script.put("/etc/modules-load.d/tailspan.conf", MODULES)
    script.put("/etc/sysctl.d/90-tailspan.conf", SYSCTL)
    script.put("/etc/tailspan/network.env", network_env(node, region, cluster.plan, cluster.endpoint))
    script.put("/etc/tailspan/network.nft", nftables(node, region, cluster.plan))
    script.put("/usr/local/lib/tailspan/network.sh", (FILES / "network.sh").read_text(), "0755")
    script.put("/etc/systemd/system/tailspan-network.service", NETWORK_UNIT)
    gpu = is_gpu_node(node, region)
    script.put("/etc/containerd/config.toml", containerd_config(cluster.images, gpu=gpu), fill_in=True)
    if gpu:
        script.put(UNIT, GPU_UNIT)
    if kubelet:
        script.put("/etc/tailspan/kubelet.yaml", kubelet_config(cluster.plan), fill_in=True)
        labels = foreign.labels(cluster.plan.control_plane)
        script.put("/etc/systemd/system/kubelet.service", kubelet_unit(node, labels))
        script.put("/etc/systemd/system/kubelet.service.d/zz-tailspan.conf", kubelet_drop_in(node, labels))
    script.put("/etc/systemd/networkd.conf.d/90-tailspan.conf", NETWORKD)
    if region.cni == "plain":
        script.put("/etc/cni/net.d/10-tailspan.conflist", plain_conflist(node, region, cluster.plan))
    if cluster.tailnet_ca and node.device:
        script.put(f"{CA_DIRECTORY}/ca.crt", cluster.tailnet_ca)


def control_plane_script(
    cluster: Cluster,
    region: RegionPlan,
    node: NodePlan,
    connector: Connector | None = None,
    public_names: tuple[str, ...] = (),
) -> str:
    """The script of the control plane machine; prints the CA and the operator's kubeconfig as JSON, base64 each."""
    script = Script(cluster, region, node)
    machine_files(script)
    config = kubeadm_config(
        node,
        cluster.plan,
        cluster.images,
        version=cluster.version,
        endpoint=cluster.endpoint,
        public_names=public_names,
        unreachable_seconds=cluster.unreachable_seconds,
    )
    script.put("/etc/tailspan/kubeadm.yaml", config)
    script.connector(connector)
    script.agent(None)
    return script.render("control-plane.sh", "kubelet kubeadm kubectl")


def node_script(
    cluster: Cluster,
    region: RegionPlan,
    node: NodePlan,
    join: Join,
    connector: Connector | None = None,
    agent_key: str | None = None,
) -> str:
    """
    The script of any other machine; with `connector` it brings its own way to the API server. `agent_key`: the region's
    key, a secret, where the machine runs a route agent of its own; a cloud region has a DaemonSet for that.
    """
    script = Script(cluster, region, node)
    machine_files(script)
    script.put("/etc/kubernetes/pki/ca.crt", join.ca)
    script.connector(connector)
    script.agent(agent_key)
    server = join.server or f"https://{cluster.endpoint}:{API_PORT}"
    kubeconfig = bootstrap_kubeconfig(server, join.token)
    script.functions.append(
        function(
            "bootstrap_kubeconfig", put_text("/etc/kubernetes/bootstrap-kubelet.conf", kubeconfig, "0600")
        )
    )
    return script.render("worker.sh", "kubelet")


def group_script(cluster: Cluster, region: RegionPlan, ca: str) -> str:
    """The one script of a node group's machines: `group_values` of a machine go in front of it, a line each."""
    return node_script(cluster, region, blank_worker(region.name), Join(ca=ca, token=BOOTSTRAP_TOKEN))


def admission_script(server: str) -> str:
    """What the join sends to a prepared machine, with a blank for the token that it makes then."""
    kubeconfig = bootstrap_kubeconfig(server, BOOTSTRAP_TOKEN)
    here = f"  cat <<'{_END}'\n{kubeconfig}{_END}\n"
    return "".join(
        (
            "#!/bin/bash\nset -euo pipefail\n",
            function("bootstrap_kubeconfig", here),
            (FILES / "admit.sh").read_text(),
        )
    )


def bootstrap_kubeconfig(server: str, token: str) -> str:
    """The kubeconfig of a machine that has no certificate yet."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "tailspan",
                    "cluster": {
                        "server": server,
                        "certificate-authority": "/etc/kubernetes/pki/ca.crt",
                    },
                }
            ],
            "users": [{"name": "bootstrap", "user": {"token": token}}],
            "contexts": [{"name": "bootstrap", "context": {"cluster": "tailspan", "user": "bootstrap"}}],
            "current-context": "bootstrap",
        }
    )
