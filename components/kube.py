"""Kubernetes objects as Pulumi resources, without pulumi_kubernetes' generated classes.

Loading those modules takes as long as everything else that a preview of ten machines loads. What they do for the
dozen objects of this program is to name a type token and to mark a Secret's data; the provider does the rest, and a
test compares what both register.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pulumi

# Object of an API group's version: the same token, inputs and state as the SDK's class of that name.
_CORE, _APPS, _RBAC = "core/v1", "apps/v1", "rbac.authorization.k8s.io/v1"
_POLICY, _NODE, _ADMISSION = "policy/v1", "node.k8s.io/v1", "admissionregistration.k8s.io/v1"
# Python's spelling of the properties that the engine spells differently.
_NAMES = {
    "string_data": "stringData",
    "binary_data": "binaryData",
    "role_ref": "roleRef",
    "api_version": "apiVersion",
}


class KubernetesObject(pulumi.CustomResource):
    """One object; a subclass says of which kind."""

    group: ClassVar[str]
    secret_properties: ClassVar[tuple[str, ...]] = ()

    metadata: pulumi.Output[Any]

    def __init__(
        self, resource_name: str, *, opts: pulumi.ResourceOptions | None = None, **properties: Any
    ) -> None:
        kind = type(self).__name__
        version = self.group.removeprefix("core/")
        for name in self.secret_properties:
            if properties.get(name) is not None:
                properties[name] = pulumi.Output.secret(properties[name])
        inputs = {"api_version": version, "kind": kind, "metadata": None, **properties}
        hidden = pulumi.ResourceOptions(
            additional_secret_outputs=[_NAMES.get(name, name) for name in self.secret_properties]
        )
        options = pulumi.ResourceOptions.merge(opts, hidden) if self.secret_properties else opts
        super().__init__(f"kubernetes:{self.group}:{kind}", resource_name, inputs, options)

    def translate_input_property(self, prop: str) -> str:
        return _NAMES.get(prop, prop)

    def translate_output_property(self, prop: str) -> str:
        return {wire: name for name, wire in _NAMES.items()}.get(prop, prop)


class ConfigMap(KubernetesObject):
    group = _CORE


class Namespace(KubernetesObject):
    group = _CORE


class Secret(KubernetesObject):
    """Its data is encrypted in the state, whatever it was made from."""

    group = _CORE
    secret_properties = ("data", "string_data")


class Service(KubernetesObject):
    group = _CORE


class ServiceAccount(KubernetesObject):
    group = _CORE


class DaemonSet(KubernetesObject):
    group = _APPS


class Deployment(KubernetesObject):
    group = _APPS


class ClusterRole(KubernetesObject):
    group = _RBAC


class ClusterRoleBinding(KubernetesObject):
    group = _RBAC


class Role(KubernetesObject):
    group = _RBAC


class RoleBinding(KubernetesObject):
    group = _RBAC


class ResourceQuota(KubernetesObject):
    group = _CORE


class PodDisruptionBudget(KubernetesObject):
    group = _POLICY


class RuntimeClass(KubernetesObject):
    group = _NODE


class ValidatingAdmissionPolicy(KubernetesObject):
    group = _ADMISSION


class ValidatingAdmissionPolicyBinding(KubernetesObject):
    group = _ADMISSION
