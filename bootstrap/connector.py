"""The static pod `apiserver-connector`: Tailscale on a machine that has to reach the API server through it first."""

from __future__ import annotations

from typing import Any

from bootstrap import agent
from bootstrap.gateway import (
    CA_DIRECTORY,
    NAMESPACE,
    Tailnet,
    as_env,
    container,
    environment,
    pod_settings,
    socket_mount,
    socket_volume,
)
from bootstrap.images import Images
from network.plan import NetworkPlan, NodePlan, RegionPlan

KEY_DIRECTORY = "/etc/tailspan/connector"
STATE_DIRECTORY = "/var/lib/tailspan/tailscale"


def has_connector(node: NodePlan, region: RegionPlan) -> bool:
    """
    All devices but the cloud region's gateways, which are a DaemonSet. A per-node cloud region cannot be one: a machine
    that boots would need its pod from an API server that answers it through the tailnet only. Nor can gateways beside
    EKS, which are no nodes of the cluster.
    """
    return node.device and (region.kind == "gpu" or region.mode == "per-node" or not region.gateways_join)


def connector_pod(
    node: NodePlan, region: RegionPlan, plan: NetworkPlan, hostname: str, tailnet: Tailnet, images: Images
) -> dict[str, Any]:
    """
    The pod's manifest for /etc/kubernetes/manifests. State is on the host and TS_KUBE_SECRET is empty: once the
    kubelet has seen Services it sets KUBERNETES_SERVICE_HOST in every restarted container, and containerboot would
    then wait for the API server that it is meant to provide. On a gateway the route agent is beside it.
    """
    values = environment(tailnet, region.tag) | {
        "TS_AUTHKEY": f"file:{KEY_DIRECTORY}/authkey",
        "TS_HOSTNAME": hostname,
        "TS_KUBE_SECRET": "",
        "TS_STATE_DIR": STATE_DIRECTORY,
        "TS_ROUTES": routes(node),
    }
    mounts: list[dict[str, Any]] = [
        {"name": "state", "mountPath": STATE_DIRECTORY},
        {"name": "key", "mountPath": KEY_DIRECTORY, "readOnly": True},
        {"name": "ca", "mountPath": CA_DIRECTORY, "readOnly": True},
    ]
    directories = {"state": STATE_DIRECTORY, "key": KEY_DIRECTORY, "ca": CA_DIRECTORY}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "apiserver-connector",
            "namespace": NAMESPACE,
            "labels": {"app": "apiserver-connector"},
        },
        "spec": pod_settings()
        | {
            "restartPolicy": "Always",
            "containers": [container(images, as_env(values), mounts, hands_over=agent.has_agent(region))],
            "volumes": [
                *(
                    {"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}}
                    for name, path in directories.items()
                ),
                socket_volume(),
            ],
        },
    }
    return _with_agent(pod, node, region, plan, images) if agent.has_agent(region) else pod


def _with_agent(
    pod: dict[str, Any], node: NodePlan, region: RegionPlan, plan: NetworkPlan, images: Images
) -> dict[str, Any]:
    env = agent.machine_env(node.name, str(node.node_ip))
    beside = agent.agent_container(images, env, [*agent.mounts(), socket_mount()], gateway=True)
    pod["spec"]["containers"].append(beside)
    pod["spec"]["volumes"] += agent.volumes()
    return agent.identified(pod, agent.region_config(region, plan))


def routes(node: NodePlan) -> str:
    """TS_ROUTES: commas and no blanks; containerboot does not trim what stands between commas."""
    return ",".join(str(prefix) for prefix in node.advertise)
