"""Kubernetes objects of a stack, whoever made them and however they are written.

Looked at are resources of the Kubernetes provider, objects inside other inputs (a component that declares what its
machines run, values of a chart), and manifests in texts. Not looked at are Patch resources, which hold parts of an
object, and `kubernetes:yaml` and chart components, whose objects are resources of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi_policy import PolicyResource
from pulumi_policy.proxy import UnknownValueError

from .rule import what
from .texts import WORKLOADS, workload_documents

KUBERNETES = "kubernetes:"
LOCAL_COMMAND = "command:local:Command"
# Their children are registered one by one (Pulumi Kubernetes: "ConfigGroup", "Chart").
_EXPANDED = (
    "kubernetes:yaml",
    "kubernetes:kustomize",
    "kubernetes:helm.sh/v3:Chart",
    "kubernetes:helm.sh/v4:Chart",
)
# A region component declares the manifests that its scripts write (`connectors`), so the scripts only repeat them.
_DECLARING = ("tailspan:components:GpuProviderRegion$", "tailspan:components:CloudRegion$")


@dataclass(frozen=True)
class Object:
    """A Kubernetes object; `on_machine` if it is a text or a declaration for a machine, not for an API server."""

    kind: str
    body: Mapping[str, Any]
    place: str
    urn: str
    on_machine: bool = False

    @property
    def name(self) -> str:
        return str(
            known(self.body, "metadata", "name") or known(self.body, "metadata", "generateName") or "unnamed"
        )

    @property
    def namespace(self) -> str:
        """Raises if only an update will know it."""
        return str(at(self.body, "metadata", "namespace") or "default")

    @property
    def static(self) -> bool:
        """A Pod in a file of a machine: the kubelet runs it without an API server."""
        return self.on_machine and self.kind == "Pod"

    @property
    def pod(self) -> Any:
        """The pod's spec, its own or its template's; empty for what is no workload."""
        return self._template("spec") or {}

    @property
    def pod_labels(self) -> Any:
        return self._template("metadata", "labels") or {}

    def _template(self, *path: str) -> Any:
        if self.kind == "Pod":
            return at(self.body, *path)
        if self.kind == "CronJob":
            return at(self.body, "spec", "jobTemplate", "spec", "template", *path)
        return at(self.body, "spec", "template", *path)

    def __str__(self) -> str:
        try:
            namespace = self.namespace
        except UnknownValueError:
            namespace = "?"
        return f"{self.kind} {namespace}/{self.name} ({self.place})"


def at(value: Any, *path: str) -> Any:
    """What stands at a path, None if nothing does or a text is no mapping; raises for an unknown input."""
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def known(value: Any, *path: str) -> Any:
    """The same, but None for an unknown input: for what only tells where to look."""
    try:
        return at(value, *path)
    except UnknownValueError:
        return None


def items(value: Any) -> Iterator[Any]:
    """The members of a list; nothing if it is none. Raises for an unknown member."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from value


def known_items(value: Any) -> Iterator[Any]:
    """The members that are known."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        for index in range(len(value)):
            try:
                yield value[index]
            except UnknownValueError:
                continue


def mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """Those members that are mappings; a manifest in a text may hold anything."""
    return (item for item in items(value) if isinstance(item, Mapping))


def declared(urn: str) -> bool:
    """Whether a resource belongs to a component that says itself which manifests its machines get."""
    return any(component in urn for component in _DECLARING)


def objects(resource: PolicyResource) -> Iterator[Object]:
    """Every Kubernetes object that a resource is or holds."""
    kind = resource.resource_type
    if kind.startswith(_EXPANDED):
        return
    own = kind.rsplit(":", 1)[-1] if kind.startswith(KUBERNETES) else ""
    if own.endswith("Patch"):
        return
    if own:
        yield Object(own, resource.props, what(resource), resource.urn)
    on_machine = not kind.startswith((KUBERNETES, LOCAL_COMMAND))
    if on_machine and kind.startswith("command:") and declared(resource.urn):
        return
    for path, value in parts(resource.props):
        place = f"{what(resource)}, input {'.'.join(path)}"
        if isinstance(value, Mapping):
            if path:
                yield Object(str(value["kind"]), value, place, resource.urn, on_machine)
        else:
            for document in workload_documents(value):
                yield Object(str(document["kind"]), document, place, resource.urn, on_machine)


def parts(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every known text of an input with its path, and every mapping that says it is a workload."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        if known(value, "kind") in WORKLOADS and "spec" in value:
            yield path, value
        for key in value:
            yield from _below(value, key, path)
    elif isinstance(value, Sequence):
        for index in range(len(value)):
            yield from _below(value, index, path)


def _below(value: Any, key: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    try:
        inner = value[key]
    except UnknownValueError:
        return
    yield from parts(inner, (*path, str(key)))
