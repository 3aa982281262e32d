"""The Kubernetes kinds that the stand-in knows, and what cannot change in each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lab.plugins.schema import Kind, ListOf, MapOf, Record

Wait = Literal["daemonset", "deployment"]

METADATA = Record(
    {
        "name": "string",
        "namespace": "string",
        "generateName": "string",
        "labels": MapOf("string"),
        "annotations": MapOf("string"),
        "finalizers": ListOf("string"),
        "ownerReferences": ListOf("any"),
    }
)
POD_TEMPLATE = Record({"metadata": METADATA, "spec!": "any"})
SELECTOR = Record({"matchLabels": MapOf("string"), "matchExpressions": ListOf("any")})
RULES = ListOf(
    Record(
        {
            "verbs!": ListOf("string"),
            "apiGroups": ListOf("string"),
            "resources": ListOf("string"),
            "resourceNames": ListOf("string"),
            "nonResourceURLs": ListOf("string"),
        }
    )
)
SUBJECTS = ListOf(Record({"kind!": "string", "name!": "string", "namespace": "string", "apiGroup": "string"}))
ROLE_REF = Record({"apiGroup!": "string", "kind!": "string", "name!": "string"})
REPLACED_WITH_NAME = frozenset({"apiVersion", "kind", "metadata.name", "metadata.namespace"})


@dataclass(frozen=True, kw_only=True)
class KubernetesKind:
    group: str  # "core" for the group without a name
    version: str
    kind: str
    plural: str
    fields: dict[str, Kind]
    namespaced: bool = True
    # Fields that the API server refuses to change.
    immutable: frozenset[str] = field(default_factory=frozenset)
    wait: Wait | None = None

    @property
    def token(self) -> str:
        return f"kubernetes:{self.group}/{self.version}:{self.kind}"

    @property
    def api_version(self) -> str:
        return self.version if self.group == "core" else f"{self.group}/{self.version}"

    def path(self, namespace: str, name: str) -> str:
        root = f"/api/{self.version}" if self.group == "core" else f"/apis/{self.api_version}"
        return (
            f"{root}/namespaces/{namespace}/{self.plural}/{name}"
            if self.namespaced
            else f"{root}/{self.plural}/{name}"
        )

    def schema(self) -> Record:
        return Record({"apiVersion": "string", "kind": "string", "metadata": METADATA, **self.fields})

    @property
    def replace_on(self) -> frozenset[str]:
        return REPLACED_WITH_NAME | self.immutable


RBAC = "rbac.authorization.k8s.io"
DATA: dict[str, Kind] = {"data": MapOf("string"), "immutable": "boolean"}
BINDING: dict[str, Kind] = {"roleRef!": ROLE_REF, "subjects": SUBJECTS}

KINDS = (
    KubernetesKind(
        group="core",
        version="v1",
        kind="ResourceQuota",
        plural="resourcequotas",
        # Only the scopes cannot change (k8s.io/kubernetes/pkg/apis/core/validation: ValidateResourceQuotaUpdate).
        fields={"spec!": Record({"hard": MapOf("any"), "scopes": ListOf("string"), "scopeSelector": "any"})},
        immutable=frozenset({"spec.scopes"}),
    ),
    KubernetesKind(
        group="core",
        version="v1",
        kind="Namespace",
        plural="namespaces",
        namespaced=False,
        fields={"spec": "any"},
    ),
    KubernetesKind(
        group="core",
        version="v1",
        kind="ServiceAccount",
        plural="serviceaccounts",
        fields={
            "automountServiceAccountToken": "boolean",
            "secrets": ListOf("any"),
            "imagePullSecrets": ListOf("any"),
        },
    ),
    # The official plugin replaces ConfigMaps and Secrets by default; here, as with its enable*Mutable,
    # data changes in place: their names are part of manifests that live on machines.
    KubernetesKind(
        group="core",
        version="v1",
        kind="Secret",
        plural="secrets",
        fields={**DATA, "stringData": MapOf("string"), "type": "string"},
        immutable=frozenset({"type"}),
    ),
    KubernetesKind(
        group="core",
        version="v1",
        kind="ConfigMap",
        plural="configmaps",
        fields={**DATA, "binaryData": MapOf("string")},
    ),
    KubernetesKind(
        group="core",
        version="v1",
        kind="Service",
        plural="services",
        fields={"spec": Record({"ports": ListOf(Record({"port!": "integer"}, open=True))}, open=True)},
        immutable=frozenset({"spec.clusterIP", "spec.clusterIPs"}),
    ),
    KubernetesKind(group=RBAC, version="v1", kind="Role", plural="roles", fields={"rules": RULES}),
    KubernetesKind(
        group=RBAC,
        version="v1",
        kind="ClusterRole",
        plural="clusterroles",
        namespaced=False,
        fields={"rules": RULES, "aggregationRule": "any"},
    ),
    KubernetesKind(
        group=RBAC,
        version="v1",
        kind="RoleBinding",
        plural="rolebindings",
        fields=BINDING,
        immutable=frozenset({"roleRef"}),
    ),
    KubernetesKind(
        group=RBAC,
        version="v1",
        kind="ClusterRoleBinding",
        plural="clusterrolebindings",
        namespaced=False,
        fields=BINDING,
        immutable=frozenset({"roleRef"}),
    ),
    KubernetesKind(
        group="policy",
        version="v1",
        kind="PodDisruptionBudget",
        plural="poddisruptionbudgets",
        fields={"spec!": Record({"minAvailable": "any", "maxUnavailable": "any", "selector!": SELECTOR})},
    ),
    KubernetesKind(
        group="node.k8s.io",
        version="v1",
        kind="RuntimeClass",
        plural="runtimeclasses",
        namespaced=False,
        immutable=frozenset({"handler"}),
        fields={"handler!": "string", "overhead": "any", "scheduling": "any"},
    ),
    KubernetesKind(
        group="apps",
        version="v1",
        kind="DaemonSet",
        plural="daemonsets",
        wait="daemonset",
        immutable=frozenset({"spec.selector"}),
        fields={
            "spec!": Record(
                {
                    "selector!": SELECTOR,
                    "template!": POD_TEMPLATE,
                    "updateStrategy": "any",
                    "minReadySeconds": "integer",
                    "revisionHistoryLimit": "integer",
                }
            )
        },
    ),
    KubernetesKind(
        group="apps",
        version="v1",
        kind="Deployment",
        plural="deployments",
        wait="deployment",
        immutable=frozenset({"spec.selector"}),
        fields={
            "spec!": Record(
                {
                    "selector!": SELECTOR,
                    "template!": POD_TEMPLATE,
                    "replicas": "integer",
                    "strategy": "any",
                    "minReadySeconds": "integer",
                    "revisionHistoryLimit": "integer",
                    "paused": "boolean",
                    "progressDeadlineSeconds": "integer",
                }
            )
        },
    ),
)
