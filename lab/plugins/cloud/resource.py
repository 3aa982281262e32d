"""One resource type of a cloud's SDK: checked, compared, described; never made."""

from __future__ import annotations

import ast
from typing import Any

from lab.plugins.base import Call, Properties, Resource, preview_only
from lab.plugins.cloud import outputs
from lab.plugins.cloud.kinds import Known
from lab.plugins.cloud.replaces import replaced_by
from lab.plugins.cloud.schema import Fields, input_schema, output_schema
from lab.plugins.cloud.sdk import ResourceSource, Sdk
from lab.plugins.schema import Kind, ListOf, Record
from lab.plugins.values import UNKNOWN


class CloudResource(Resource):
    def __init__(self, sdk: Sdk, resource: ResourceSource) -> None:
        self.sdk, self.token = sdk, resource.token
        # Instances differ by type, so these are theirs and not the class's.
        self.schema = input_schema(sdk, resource)  # type: ignore[misc]
        self.outputs = output_schema(sdk, resource)
        assert isinstance(self.outputs.fields, Fields)
        self.always = frozenset(
            name for name, one in self.outputs.fields.properties.items() if not _is_optional(one.annotation)
        )

    def check(self, call: Call, inputs: Properties, old: Properties) -> Properties:
        for path, value, near in slips(self.schema, inputs):
            call.log(
                f'{path}: {self.sdk.module} {self.sdk.version} does not know "{value}". Did you mean "{near}"?',
                warning=True,
            )
        return inputs

    def replaces(self, changed: set[str], old: Properties, new: Properties) -> set[str]:
        return {path for path in changed if replaced_by(self.token, self.schema, path, new)}

    def deletes_first(self, old: Properties, new: Properties) -> bool:
        """As the official plugins: two things cannot have one name, unless the plugin chose the name."""
        return bool(old.get("name")) and old.get("name") == new.get("name")

    def planned(self, inputs: Properties, old_outputs: Properties) -> Properties:
        return outputs.planned(self.outputs, self.always, inputs, old_outputs)

    def rehearse(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        return call.name, outputs.rehearsed(self.outputs, self.always, inputs, call.name)

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        raise preview_only(self.sdk.name)

    def update(self, call: Call, resource_id: str, inputs: Properties, old_outputs: Properties) -> Properties:
        raise preview_only(self.sdk.name)

    def read(
        self, call: Call, resource_id: str, inputs: Properties, outputs: Properties
    ) -> tuple[Properties, Properties] | None:
        raise preview_only(self.sdk.name)

    def believed(self, call: Call, stated: Properties, *, external: bool) -> Properties:
        if not external:
            return stated
        if call.rehearsal:
            return outputs.rehearsed(self.outputs, self.always, stated)
        return {**dict.fromkeys(self.always, UNKNOWN), **stated}

    def delete(self, call: Call, resource_id: str, inputs: Properties, outputs: Properties) -> None:
        raise preview_only(self.sdk.name)


def slips(kind: Kind, value: Any, path: str = "") -> list[tuple[str, str, str]]:
    """Texts that look like a misspelling of one that the SDK knows: path, text, the known one."""
    if isinstance(kind, Record) and isinstance(value, dict):
        known = kind.names()
        return [
            found
            for name, item in value.items()
            if name in known
            for found in slips(known[name], item, f"{path}.{name}" if path else name)
        ]
    if isinstance(kind, ListOf) and isinstance(value, list):
        return [
            found for index, item in enumerate(value) for found in slips(kind.item, item, f"{path}[{index}]")
        ]
    near = kind.slip(value) if isinstance(kind, Known) else ""
    return [(path, value, near)] if near else []


def _is_optional(annotation: ast.expr) -> bool:
    """Output[Optional[...]]: without such an input the resource may not have it."""
    return ast.unparse(annotation).startswith("pulumi.Output[Optional[")
