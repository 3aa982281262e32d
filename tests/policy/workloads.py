"""Gateways of nobody's in particular for tests of rules: right as they are, wrong by one edit."""

from __future__ import annotations

import copy
from typing import Any

import yaml
from pulumi_policy import PolicyResource

from tests.policy.judge import resource

DAEMON_SET = "kubernetes:apps/v1:DaemonSet"
REMOTE_COMMAND = "command:remote:Command"
CONNECTION = {"host": "198.51.100.7", "user": "ubuntu", "hostKey": "ssh-ed25519 AAAA"}
TRUSTED = {"node-restriction.kubernetes.io/role": "gateway"}

HUB_ROUTES = "10.0.0.0/24,10.128.0.0/16"
GPU_ROUTES = "10.1.0.0/24,10.129.0.0/16"
FLAGS = "--accept-routes --snat-subnet-routes=false --stateful-filtering=false"
VARIABLES = {
    "TS_ACCEPT_DNS": "false",
    "TS_AUTHKEY": "file:/etc/connector/key",
    "TS_AUTH_ONCE": "true",
    "TS_DEBUG_FIREWALL_MODE": "nftables",
    "TS_EXTRA_ARGS": f"{FLAGS} --advertise-tags=tag:gpu",
    "TS_KUBE_SECRET": "",
    "TS_ROUTES": GPU_ROUTES,
    "TS_STATE_DIR": "/var/lib/connector",
}


def pod_spec(**variables: Any) -> dict[str, Any]:
    """A gateway's pod; an Ellipsis leaves a variable out, a mapping is where its value comes from."""
    env = [
        {"name": name, **({"valueFrom": value} if isinstance(value, dict) else {"value": value})}
        for name, value in (VARIABLES | variables).items()
        if value is not ...
    ]
    container = {
        "name": "tailscale",
        "image": "ghcr.io/tailscale/tailscale:v1.102.3",
        "env": env,
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": "state", "mountPath": "/var/lib/connector"}],
    }
    return {
        "hostNetwork": True,
        "containers": [container],
        "volumes": [{"name": "state", "hostPath": {"path": "/var/lib/connector"}}],
    }


def pod(name: str = "connector", **variables: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "tailscale"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(**variables)}


def edited(manifest: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    """A copy with another value at a path."""
    whole = copy.deepcopy(manifest)
    target: Any = whole
    for part in path[:-1]:
        target = target[part] if isinstance(part, int) else target.setdefault(part, {})
    target[path[-1]] = to
    return whole


def script(manifest: dict[str, Any]) -> str:
    """A machine's script that writes a manifest as people write it: by a here-document."""
    text = yaml.safe_dump(manifest, sort_keys=False)
    return (
        "#!/bin/bash\nset -euo pipefail\napt-get install -y containerd\n"
        f"cat > /etc/kubernetes/manifests/connector.yaml <<'EOF'\n{text}EOF\nsystemctl restart kubelet\n"
    )


def machine(name: str = "gpu-a", manifest: dict[str, Any] | None = None, **variables: Any) -> PolicyResource:
    """A machine of somebody's, bootstrapped over SSH."""
    props = {
        "create": "bash -s",
        "connection": CONNECTION,
        "stdin": script(manifest or pod(f"{name}-connector", **variables)),
    }
    return resource(REMOTE_COMMAND, name, props)


def daemon_set(name: str = "router", *edits: tuple[tuple[Any, ...], Any], **variables: Any) -> PolicyResource:
    """Gateways of a hub: state in Secrets, routes for each machine from a ConfigMap."""
    settings = {
        "TS_EXTRA_ARGS": f"{FLAGS} --advertise-tags=tag:hub",
        "TS_KUBE_SECRET": "router-$(NODE_NAME)",
        "TS_ROUTES": ...,
    }
    spec = pod_spec(**(settings | variables))
    container = spec["containers"][0]
    if "TS_ROUTES" not in variables:
        container["command"] = ["sh", "-c", 'TS_ROUTES="$(cat "/routes/$NODE_NAME")" exec containerboot']
        container["volumeMounts"].append({"name": "routes", "mountPath": "/routes"})
        spec["volumes"].append({"name": "routes", "configMap": {"name": "routes"}})
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": name,
            "namespace": "tailscale",
            "annotations": {"pulumi.com/timeoutSeconds": "300"},
        },
        "spec": {"template": {"spec": spec | {"nodeSelector": TRUSTED, "serviceAccountName": "router"}}},
    }
    for path, value in edits:
        manifest = edited(manifest, *path, to=value)
    return resource(DAEMON_SET, name, manifest)


def config_map(name: str = "routes", **data: str) -> PolicyResource:
    metadata = {"name": name, "namespace": "tailscale"}
    return resource("kubernetes:core/v1:ConfigMap", name, {"metadata": metadata, "data": data})


POD = ("spec", "template", "spec")
ROUTES = config_map(a=HUB_ROUTES, b="10.0.0.0/25,10.0.0.128/25,10.128.0.0/17,10.128.128.0/17")
REGIONS = [
    {"name": "hub", "nodeCidr": "10.0.0.0/24", "podCidr": "10.128.0.0/16"},
    {"name": "gpu", "nodeCidr": "10.1.0.0/24", "podCidr": "10.129.0.0/16"},
]
ADDRESSES = resource("tailspan:components:AddressMap", "addresses", {"regions": REGIONS})
HUB = resource("tailspan:components:CloudRegion", "hub", {"name": "hub"})
