"""One Kubernetes object as a Pulumi resource: applied, awaited, read back, deleted."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from lab.plugins.base import Call, CheckFailed, InitFailed, PluginError, Properties, Resource
from lab.plugins.kubernetes.client import Cluster, ClusterUnreachable
from lab.plugins.kubernetes.kinds import KubernetesKind
from lab.plugins.kubernetes.live import managed_part
from lab.plugins.kubernetes.waiting import RolloutFailed, wait_until_gone, wait_until_rolled_out
from lab.plugins.values import Unknown

AUTONAMED = "pulumi.com/autonamed"
SKIP_AWAIT = "pulumi.com/skipAwait"
TIMEOUT = "pulumi.com/timeoutSeconds"
DEFAULT_WAIT_SECONDS = 600.0
DELETE_SECONDS = 300.0
SUFFIX_LENGTH = 7


class KubernetesObject(Resource):
    def __init__(self, kind: KubernetesKind) -> None:
        self.kind = kind
        # Instances differ by kind, so these are theirs and not the class's.
        self.schema = kind.schema()  # type: ignore[misc]
        self.replace_on = kind.replace_on  # type: ignore[misc]
        self.secret_outputs = frozenset({"data", "stringData"} if kind.kind == "Secret" else ())  # type: ignore[misc]

    def check(self, call: Call, inputs: Properties, old: Properties) -> Properties:
        for key, right in (("apiVersion", self.kind.api_version), ("kind", self.kind.kind)):
            got = inputs.get(key) or right
            if not isinstance(got, Unknown) and got != right:
                raise CheckFailed(key, f'got "{got}", a {self.kind.token} has "{right}" (or leave it out)')
        metadata = dict(inputs.get("metadata") or {})
        if not self.kind.namespaced and metadata.get("namespace"):
            raise CheckFailed(
                "metadata.namespace", f"a {self.kind.kind} belongs to no namespace; leave it out"
            )
        if not metadata.get("name"):
            metadata = self._autonamed(call, metadata, old.get("metadata") or {})
        if self.kind.namespaced:
            metadata.setdefault("namespace", call.config.get("namespace") or "default")
        return {**inputs, "apiVersion": self.kind.api_version, "kind": self.kind.kind, "metadata": metadata}

    def _autonamed(self, call: Call, metadata: Properties, old: Properties) -> Properties:
        kept = old.get("name") if (old.get("annotations") or {}).get(AUTONAMED) else None
        # The engine's seed makes preview and update agree on the name.
        seed = call.seed or secrets.token_bytes(16)
        suffix = hashlib.sha256(seed + call.urn.encode()).hexdigest()[:SUFFIX_LENGTH]
        annotations = {**(metadata.get("annotations") or {}), AUTONAMED: "true"}
        return {**metadata, "name": kept or f"{call.name.lower()}-{suffix}", "annotations": annotations}

    def replaces(self, changed: set[str], old: Properties, new: Properties) -> set[str]:
        frozen = {"data", "stringData", "binaryData"} if old.get("immutable") is True else set()
        return super().replaces(changed, old, new) | {
            path for path in changed if path.split(".")[0].split("[")[0] in frozen
        }

    def deletes_first(self, old: Properties, new: Properties) -> bool:
        """Two objects of one name cannot exist side by side."""
        before, after = old.get("metadata") or {}, new.get("metadata") or {}
        return (before.get("name"), before.get("namespace")) == (after.get("name"), after.get("namespace"))

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        metadata = inputs["metadata"]
        resource_id = (
            f"{metadata['namespace']}/{metadata['name']}" if self.kind.namespaced else metadata["name"]
        )
        cluster, path = Cluster(call), self._path(resource_id)
        live = cluster.apply(path, inputs)
        annotations = metadata.get("annotations") or {}
        if self.kind.wait and str(annotations.get(SKIP_AWAIT)).lower() != "true":
            seconds = call.timeout or float(annotations.get(TIMEOUT) or DEFAULT_WAIT_SECONDS)
            try:
                live = wait_until_rolled_out(call, cluster, self.kind, path, seconds)
            except RolloutFailed as problem:
                raise InitFailed(resource_id, self._outputs(live, inputs), [str(problem)]) from None
        return resource_id, self._outputs(live, inputs)

    def rehearse(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        name, namespace = inputs["metadata"]["name"], inputs["metadata"].get("namespace")
        return f"{namespace}/{name}" if namespace else name, inputs

    def update(self, call: Call, resource_id: str, inputs: Properties, old_outputs: Properties) -> Properties:
        return self.create(call, inputs)[1]

    def read(
        self, call: Call, resource_id: str, inputs: Properties, outputs: Properties
    ) -> tuple[Properties, Properties] | None:
        live = Cluster(call).get(self._path(resource_id))
        if live is None or live.get("metadata", {}).get("deletionTimestamp"):
            return None
        found = managed_part(live, inputs)
        return found, self._outputs(live, found)

    def delete(self, call: Call, resource_id: str, inputs: Properties, outputs: Properties) -> None:
        cluster, path = Cluster(call), self._path(resource_id)
        try:
            if cluster.delete(path) is not None:
                wait_until_gone(call, cluster, self.kind, path, call.timeout or DELETE_SECONDS)
        except ClusterUnreachable as problem:
            if str(call.config.get("deleteUnreachable")).lower() == "true":
                call.log(f"{problem}: forgotten, not deleted (deleteUnreachable)", warning=True)
                return
            raise PluginError(
                f"{problem}. {self.kind.kind} {resource_id} was not deleted. If the cluster is gone for "
                f"good, remove the resource from the stack's state (pulumi state delete), or set "
                f"delete_unreachable=True on the provider."
            ) from None

    def _path(self, resource_id: str) -> str:
        namespace, _, name = resource_id.rpartition("/")
        return self.kind.path(namespace or "default", name)

    def _outputs(self, live: dict[str, Any], inputs: Properties) -> Properties:
        """What the stack manages, plus what only the cluster could know. No status: it always changes."""
        outputs = managed_part(live, inputs)
        metadata = live.get("metadata") or {}
        outputs["metadata"] = {**outputs.get("metadata", {}), "uid": metadata.get("uid")}
        if self.kind.kind == "Service":
            spec = {
                key: live["spec"].get(key) for key in ("clusterIP", "clusterIPs") if live["spec"].get(key)
            }
            outputs["spec"] = {**(outputs.get("spec") or {}), **spec}
        return outputs
