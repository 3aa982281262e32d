"""Kubernetes objects of components.kube are registered exactly as the SDK's generated classes register them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes
import pytest

from components import kube
from tests.components.deploy import run
from tests.components.recording import Resource, Secret

CLASSES = {
    "ConfigMap": pulumi_kubernetes.core.v1,
    "Namespace": pulumi_kubernetes.core.v1,
    "Secret": pulumi_kubernetes.core.v1,
    "Service": pulumi_kubernetes.core.v1,
    "ServiceAccount": pulumi_kubernetes.core.v1,
    "DaemonSet": pulumi_kubernetes.apps.v1,
    "Deployment": pulumi_kubernetes.apps.v1,
    "ClusterRole": pulumi_kubernetes.rbac.v1,
    "ClusterRoleBinding": pulumi_kubernetes.rbac.v1,
    "Role": pulumi_kubernetes.rbac.v1,
    "RoleBinding": pulumi_kubernetes.rbac.v1,
    "ResourceQuota": pulumi_kubernetes.core.v1,
    "ValidatingAdmissionPolicy": pulumi_kubernetes.admissionregistration.v1,
    "ValidatingAdmissionPolicyBinding": pulumi_kubernetes.admissionregistration.v1,
    "PodDisruptionBudget": pulumi_kubernetes.policy.v1,
    "RuntimeClass": pulumi_kubernetes.node.v1,
}
ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
PROPERTIES: dict[str, dict[str, Any]] = {
    "ConfigMap": {"data": {"some_key": "v"}, "binary_data": {"some_key": "dg=="}},
    "Secret": {"string_data": {"some_key": "v"}},
    "Service": {"spec": {"clusterIP": "10.96.0.10", "ports": [{"name": "dns", "port": 53}]}},
    "DaemonSet": {
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"hostNetwork": True}}}
    },
    "Deployment": {"spec": {"replicas": 2, "template": {"spec": {"dnsPolicy": "Default"}}}},
    "ClusterRole": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]},
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}},
    "RuntimeClass": {"handler": "h", "scheduling": {"nodeSelector": {"a": "b"}}},
    "ValidatingAdmissionPolicy": {"spec": {"failurePolicy": "Fail", "variables": [{"name": "v"}]}},
    "ValidatingAdmissionPolicyBinding": {"spec": {"policyName": "p", "validationActions": ["Deny"]}},
    "Role": {"rules": [{"apiGroups": [""], "resourceNames": ["x"], "verbs": ["get"]}]},
    "ClusterRoleBinding": {"role_ref": ROLE_REF, "subjects": [{"kind": "Group", "name": "g"}]},
    "RoleBinding": {"role_ref": ROLE_REF, "subjects": [{"kind": "Group", "name": "g"}]},
}


def registered(make: Callable[..., Any], kind: str) -> Resource:
    def program() -> None:
        opts = pulumi.ResourceOptions(ignore_changes=["data"], protect=True)
        make(
            "thing", metadata={"name": "thing", "labels": {"app": "x"}}, opts=opts, **PROPERTIES.get(kind, {})
        )

    return run(program)["thing"]


def ours() -> dict[str, type[kube.KubernetesObject]]:
    return {cls.__name__: cls for cls in kube.KubernetesObject.__subclasses__()}


def test_every_class_is_compared() -> None:
    assert ours().keys() == CLASSES.keys()


@pytest.mark.parametrize("kind", CLASSES)
def test_it_registers_what_the_sdk_registers(kind: str) -> None:
    mine, theirs = registered(ours()[kind], kind), registered(getattr(CLASSES[kind], kind), kind)
    assert mine == theirs
    for option in ("additionalSecretOutputs", "ignoreChanges"):
        assert sorted(getattr(mine.request, option)) == sorted(getattr(theirs.request, option))


def test_a_secrets_data_is_encrypted() -> None:
    assert isinstance(registered(kube.Secret, "Secret").inputs["stringData"], Secret)


def test_an_attribute_can_be_read_as_of_the_sdks_class() -> None:
    names: list[str] = []

    def program() -> None:
        kube.Namespace("n", metadata={"name": "here"}).metadata["name"].apply(names.append)

    run(program)
    assert names == ["here"]
