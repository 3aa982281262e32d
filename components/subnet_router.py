"""The DaemonSet `subnet-router`: the gateways of a cloud region."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pulumi

from bootstrap.agent import agent_container, downward_env, identified
from bootstrap.agent import mounts as agent_mounts
from bootstrap.connector import routes
from bootstrap.gateway import (
    CA_DIRECTORY,
    STEADY_SECONDS,
    as_env,
    container,
    environment,
    pod_settings,
    socket_mount,
    socket_volume,
)
from bootstrap.images import Images
from bootstrap.pool_gateway import PoolGateway
from components import kube
from components.route_agent import AgentFiles, agent_volumes
from components.tailnet import Tailnet
from network.plan import RegionPlan

NAME = "subnet-router"
ROLLOUT_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class SubnetRouterArgs:
    """A cloud region's gateways; `keys` by node name, and the namespace that the pods live in."""

    region: RegionPlan
    agent: AgentFiles
    images: Images
    tailnet: Tailnet
    keys: dict[str, pulumi.Output[str]]
    # Plain, so that policies know in the first preview who shares it; the caller orders the namespace first.
    namespace: str
    # The ClusterIP of the Service `kubernetes`.
    api_service: str
    # Where the gateway is a node of the cloud's.
    pool: PoolGateway | None = None


class SubnetRouter(pulumi.ComponentResource):
    """
    Tailscale and the route agent on every gateway node of the region, each with routes, key and state of its own.

    A kubelet can label its own node, so the pods are selected by labels that only the operator can set; their
    Role names every Secret, so that the pod of one host cannot read what is not meant for this DaemonSet.
    """

    def __init__(self, name: str, args: SubnetRouterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tailspan:components:SubnetRouter", name, None, opts)
        self._args = args
        child = pulumi.ResourceOptions(parent=self)
        secrets = self._secrets(name, child)
        account = self._account(name, child)
        config = {"tailscale-ca": args.tailnet.ca or ""} | {
            node.name: routes(node) for node in args.region.gateways
        }
        config_map = kube.ConfigMap(
            f"{name}-config", metadata=self._metadata(f"{NAME}-config"), data=config, opts=child
        )
        kube.DaemonSet(
            f"{name}-daemonset",
            metadata=self._metadata(NAME)
            | {"annotations": {"pulumi.com/timeoutSeconds": str(ROLLOUT_SECONDS)}},
            spec=self._spec(config),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*secrets, *account, config_map]),
        )
        self._budget(name, child)
        self.register_outputs({})

    def _budget(self, name: str, opts: pulumi.ResourceOptions) -> None:
        """One gateway may be evicted while all others stand; a DaemonSet has no scale, so they are counted here."""
        count = len(self._args.region.gateways)
        if count > 1:
            kube.PodDisruptionBudget(
                f"{name}-budget",
                metadata=self._metadata(NAME),
                spec={"minAvailable": count - 1, "selector": {"matchLabels": {"app": NAME}}},
                opts=opts,
            )

    def _metadata(self, name: str) -> dict[str, Any]:
        return {"name": name, "namespace": self._args.namespace, "labels": {"app": NAME}}

    def _secrets(self, name: str, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
        keys = kube.Secret(
            f"{name}-keys", metadata=self._metadata(f"{NAME}-keys"), string_data=self._args.keys, opts=opts
        )
        # containerboot keeps the device's identity here. Declared, because a right to create cannot be bound to a name.
        states = [
            kube.Secret(
                f"{node.name}-state",
                metadata=self._metadata(f"{NAME}-{node.name}"),
                opts=pulumi.ResourceOptions.merge(
                    opts,
                    pulumi.ResourceOptions(ignore_changes=["data", "stringData"]),  # written by the pod
                ),
            )
            for node in self._args.region.gateways
        ]
        return [keys, *states]

    def _account(self, name: str, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
        metadata = self._metadata(NAME)
        account = kube.ServiceAccount(f"{name}-account", metadata=metadata, opts=opts)
        role = kube.Role(
            f"{name}-role",
            metadata=metadata,
            rules=[
                {
                    "apiGroups": [""],
                    "resources": ["secrets"],
                    "resourceNames": [f"{NAME}-{node.name}" for node in self._args.region.gateways],
                    "verbs": ["get", "update", "patch"],
                },
                {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "create", "patch"]},
            ],
            opts=opts,
        )
        binding = kube.RoleBinding(
            f"{name}-binding",
            metadata=metadata,
            role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
            subjects=[{"kind": "ServiceAccount", "name": NAME, "namespace": self._args.namespace}],
            opts=opts,
        )
        return [account, role, binding]

    def _spec(self, config: dict[str, str]) -> dict[str, Any]:
        region = self._args.region
        digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]
        return {
            "selector": {"matchLabels": {"app": NAME}},
            # One at a time: the others carry the region meanwhile. Ready is who forwards, as its partners find.
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "minReadySeconds": STEADY_SECONDS,
            "template": self._template(region, digest),
        }

    def _template(self, region: RegionPlan, digest: str) -> dict[str, Any]:
        pod = {"metadata": {"labels": {"app": NAME}}, "spec": self._pod(region)}
        template = identified(pod, self._args.agent.config)
        template["metadata"]["annotations"]["tailspan.dev/config"] = digest
        return template

    def _pod(self, region: RegionPlan) -> dict[str, Any]:
        gateways = self._args.tailnet.gateways
        mounts: list[dict[str, Any]] = [
            {"name": "keys", "mountPath": "/etc/tailspan/keys", "readOnly": True},
            {"name": "config", "mountPath": "/etc/tailspan/config", "readOnly": True},
        ]
        volumes: list[dict[str, Any]] = [
            {"name": "keys", "secret": {"secretName": f"{NAME}-keys", "defaultMode": 0o400}},
            {"name": "config", "configMap": {"name": f"{NAME}-config"}},
        ]
        if gateways.private_ca:
            mounts.append({"name": "ca", "mountPath": CA_DIRECTORY, "readOnly": True})
            items = [{"key": "tailscale-ca", "path": "ca.crt"}]
            volumes.append({"name": "ca", "configMap": {"name": f"{NAME}-config", "items": items}})
        pool = self._args.pool
        node_name: dict[str, Any] = {"name": "NODE_NAME"}
        if pool:
            node_name["value"] = pool.name
        else:
            node_name["valueFrom"] = {"fieldRef": {"fieldPath": "spec.nodeName"}}
        pod_fields = [
            {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
            for name, path in (("POD_NAME", "metadata.name"), ("POD_UID", "metadata.uid"))
        ]
        values = environment(gateways, region.tag) | {
            "TS_AUTHKEY": "file:/etc/tailspan/keys/$(NODE_NAME)",
            "TS_HOSTNAME": "$(NODE_NAME)",
            "TS_KUBE_SECRET": f"{NAME}-$(NODE_NAME)",
        }
        # NODE_NAME first: a variable may refer only to those before it.
        box = container(
            self._args.images,
            [node_name, *pod_fields, *as_env(values)],
            mounts,
            # Every gateway advertises prefixes of its own, and a DaemonSet has one environment for all.
            prepare='export TS_ROUTES="$(cat "/etc/tailspan/config/$NODE_NAME")"',
            hands_over=True,
        )
        beside = agent_container(
            self._args.images,
            downward_env(pool.name if pool else None),
            [*agent_mounts(), socket_mount()],
            gateway=True,
        )
        box["readinessProbe"] = {
            "httpGet": {"host": "127.0.0.1", "path": "/healthz", "port": 9002},
            "periodSeconds": 2,
            "failureThreshold": 3,
        }
        return pod_settings() | {
            "serviceAccountName": NAME,
            # containerboot asks for this name. With cluster DNS a gateway would wait for pods that wait for gateways.
            "hostAliases": [{"ip": self._args.api_service, "hostnames": ["kubernetes.default.svc"]}],
            "containers": [box, beside],
            "volumes": [*volumes, socket_volume(), *agent_volumes(), *(pool.volumes if pool else ())],
            **self._place(region),
        }

    def _place(self, region: RegionPlan) -> dict[str, Any]:
        """Which nodes it runs on, and what one of them needs before."""
        pool = self._args.pool
        if pool:
            return {
                "nodeSelector": pool.selector,
                "tolerations": pool.tolerations,
                "initContainers": [pool.prepares(self._args.images)],
            }
        return {
            "nodeSelector": {
                "node-restriction.kubernetes.io/tailspan-region": region.name,
                "node-restriction.kubernetes.io/tailspan-role": "gateway",
            }
        }
