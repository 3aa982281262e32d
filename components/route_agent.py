"""The route agent in a cloud region: its files as cluster objects, and the DaemonSet `route-agent` of plain nodes.

On the gateways it runs beside Tailscale, in the pods of `subnet-router`. Machines outside the cloud region have the
files on their disks and static pods instead (bootstrap/agent.py): they must not need the API server that it leads to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

import pulumi

from bootstrap import agent
from bootstrap.gateway import pod_settings
from bootstrap.images import Images
from components import kube
from network.plan import NetworkPlan, RegionPlan

# Of a thousand nodes' agents so many are replaced at once: without its agent a node keeps the routes that it has.
AT_ONCE = "10%"


@dataclass(frozen=True, kw_only=True)
class RouteAgentArgs:
    """A cloud region with gateways; `key` is its heartbeats' (`agent_key`), a secret."""

    region: RegionPlan
    plan: NetworkPlan
    images: Images
    key: pulumi.Output[str]


def agent_key(seed: str, region: str) -> str:
    """
    The key of a region's heartbeats, from the stack's secret seed. Each region has its own: who steals one from a
    rented machine can speak for that region only.
    """
    return hmac.new(seed.encode(), f"route-agent:{region}".encode(), hashlib.sha256).hexdigest()


class AgentFiles(pulumi.ComponentResource):
    """The program, its configuration and its key, as a ConfigMap and a Secret that pods of their namespace mount."""

    def __init__(
        self, name: str, args: RouteAgentArgs, namespace: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tailspan:components:AgentFiles", name, None, opts)
        self._args, self._namespace = args, namespace
        child = pulumi.ResourceOptions(parent=self)
        kube.ConfigMap(
            f"{name}-files",
            metadata=self._metadata(agent.NAME),
            data={"config.json": agent.config_file(self.config)},
            binary_data={"agent.pyz": base64.b64encode(agent.zipapp()).decode()},
            opts=child,
        )
        kube.Secret(
            f"{name}-key",
            metadata=self._metadata(f"{agent.NAME}-key"),
            string_data={"key": args.key},
            opts=child,
        )
        self.register_outputs({})

    def _metadata(self, name: str) -> dict[str, Any]:
        return {"name": name, "namespace": self._namespace, "labels": {"app": agent.NAME}}

    @property
    def config(self) -> dict[str, Any]:
        """config.json."""
        return agent.region_config(self._args.region, self._args.plan)


def agent_volumes() -> list[dict[str, Any]]:
    """What `agent.mounts` mounts, from cluster objects."""
    return [
        {
            "name": "agent",
            "configMap": {"name": agent.NAME, "items": [{"key": "agent.pyz", "path": "agent.pyz"}]},
        },
        {
            "name": "agent-config",
            "projected": {
                "sources": [
                    {
                        "configMap": {
                            "name": agent.NAME,
                            "items": [{"key": "config.json", "path": "config.json"}],
                        }
                    },
                    {
                        "secret": {
                            "name": f"{agent.NAME}-key",
                            "items": [{"key": "key", "path": "key", "mode": 0o400}],
                        }
                    },
                ]
            },
        },
    ]


class RouteAgent(pulumi.ComponentResource):
    """
    The agent on every node of the region that is no gateway. Its pods are selected by labels that only the operator can
    set, because they mount the region's key.
    """

    def __init__(self, name: str, args: RouteAgentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tailspan:components:RouteAgent", name, None, opts)
        files = AgentFiles(f"{name}-node", args, agent.NAMESPACE, pulumi.ResourceOptions(parent=self))
        kube.DaemonSet(
            f"{name}-daemonset",
            metadata={
                "name": agent.NAME,
                "namespace": agent.NAMESPACE,
                "labels": {"app": agent.NAME},
                # One dead node must not stop every update.
                "annotations": {"pulumi.com/skipAwait": "true"},
            },
            spec={
                "selector": {"matchLabels": {"app": agent.NAME}},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": AT_ONCE}},
                "template": agent.identified(
                    {"metadata": {"labels": {"app": agent.NAME}}, "spec": self._pod(args)}, files.config
                ),
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[files]),
        )
        self.register_outputs({})

    @staticmethod
    def _pod(args: RouteAgentArgs) -> dict[str, Any]:
        plain = {
            "key": "node-restriction.kubernetes.io/tailspan-role",
            "operator": "In",
            "values": ["control-plane", "worker"],
        }
        here = {
            "key": "node-restriction.kubernetes.io/tailspan-region",
            "operator": "In",
            "values": [args.region.name],
        }
        terms = {"nodeSelectorTerms": [{"matchExpressions": [here, plain]}]}
        box = agent.agent_container(args.images, agent.downward_env(), agent.mounts(), gateway=False)
        return pod_settings() | {
            "automountServiceAccountToken": False,
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
            "containers": [box],
            "volumes": agent_volumes(),
        }
