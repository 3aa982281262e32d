"""The control plane and the way to it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from bootstrap.kubeadm import API_PORT
from components import kube
from components.command import LocalCommand
from components.secrets import secret
from providers.managed import HybridNodes


@dataclass(frozen=True, kw_only=True)
class ClusterAccess:
    """What machines and the operator need to reach the cluster; CA, kubeconfig and seed are secrets."""

    ca: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    seed: pulumi.Output[str]
    provider: kubernetes.Provider
    # The API server's URL, where a cloud runs it: machines have no name for it, and bootstrap tokens are unknown.
    server: pulumi.Output[str] | None = None
    # By what machines log in to IAM and become nodes (EKS): they ask for no certificate then.
    hybrid: HybridNodes | None = None
    # Objects without which no machine can be admitted.
    ready: list[pulumi.Resource] = field(default_factory=list)


def stack_seed(parent: pulumi.Resource) -> pulumi.Output[str]:
    """A random secret of the stack, made once and kept encrypted in its state; tokens are derived from it."""
    command = LocalCommand(
        "secret-seed",
        create="python -m ops v1 secret",
        logging="none",
        opts=pulumi.ResourceOptions(parent=parent, additional_secret_outputs=["stdout"]),
    )
    return secret(command.stdout.apply(lambda text: str(json.loads(text)["seed"])))


def operator_kubeconfig(admin_conf: str, address: str, endpoint: str) -> str:
    """kubeadm's admin.conf as it works from outside: the reachable address, and the name in the certificate."""
    config = yaml.safe_load(admin_conf)
    for entry in config["clusters"]:
        entry["cluster"]["server"] = f"https://{address}:{API_PORT}"
        entry["cluster"]["tls-server-name"] = endpoint
    return yaml.safe_dump(config, sort_keys=True)


def decode_credentials(stdout: str) -> tuple[str, str]:
    """The CA's PEM and admin.conf from what the control plane's script prints."""
    values = json.loads(stdout.strip().splitlines()[-1])
    return base64.b64decode(values["ca"]).decode(), base64.b64decode(values["kubeconfig"]).decode()


def node_admission(
    provider: kubernetes.Provider,
    parent: pulumi.Resource,
    newcomers: str = "system:bootstrappers:tailspan",
) -> list[pulumi.Resource]:
    """
    Who may ask for a node's certificate: the group of `newcomers`, by default that of bootstrap tokens, may file a
    request and read its own, nothing approves it but ops/; a node renews its own by itself.
    """
    bindings = {
        "tailspan:node-bootstrapper": (newcomers, "system:node-bootstrapper"),
        "tailspan:node-renewal": (
            "system:nodes",
            "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        ),
    }
    return [
        kube.ClusterRoleBinding(
            name.replace(":", "-"),
            metadata={"name": name},
            role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            subjects=[{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
            opts=pulumi.ResourceOptions(parent=parent, provider=provider),
        )
        for name, (group, role) in bindings.items()
    ]
