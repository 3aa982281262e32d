"""From the classes of an SDK to what lab.plugins.schema checks: Args classes become records, read when needed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path

from lab.plugins.cloud.kinds import AnyOf, Encoded, FileKind, Known
from lab.plugins.cloud.sdk import Property, ResourceSource, Sdk, SdkError, source
from lab.plugins.schema import Kind, ListOf, MapOf, OneOf, Record

LEAVES: dict[str, Kind] = {
    "str": "string",
    "_builtins.str": "string",
    "_builtins.bool": "boolean",
    "_builtins.int": "integer",
    "_builtins.float": "number",
    "Any": "any",
    "pulumi.Asset": FileKind("asset"),
    "pulumi.Archive": FileKind("archive"),
}
# They say when a value is there, not what it looks like.
WRAPPERS = ("pulumi.Input", "pulumi.Output", "Optional")


class Fields(Mapping[str, Kind]):
    """The fields of one generated class; a name ends with `!` where the SDK requires it."""

    def __init__(self, scope: Scope, file: Path, name: str) -> None:
        self._scope, self.file, self.name = scope, file, name

    @cached_property
    def properties(self) -> dict[str, Property]:
        """By wire name."""
        return {one.name: one for one in source(self.file).properties(self.name).values()}

    @cached_property
    def _kinds(self) -> dict[str, Kind]:
        return {
            name + "!" * one.required: self._scope.kind(one.annotation)
            for name, one in self.properties.items()
        }

    def __getitem__(self, name: str) -> Kind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)


class Scope:
    """What the names in the annotations of one of the SDK's folders mean."""

    def __init__(self, sdk: Sdk, folder: Path) -> None:
        self._sdk, self._folder = sdk, folder

    def kind(self, annotation: ast.expr) -> Kind:
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            return self.named(annotation.value)
        if isinstance(annotation, ast.Subscript):
            return self._generic(ast.unparse(annotation.value), annotation.slice)
        text = ast.unparse(annotation)
        if text not in LEAVES:
            raise self._unreadable(text)
        return LEAVES[text]

    def _generic(self, name: str, inner: ast.expr) -> Kind:
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if name in WRAPPERS:
            return self.kind(inner)
        if name == "Sequence":
            return ListOf(self.kind(inner))
        if name == "Mapping":
            return MapOf(self.kind(parts[1]))
        if name == "Union":
            return _union([self.kind(part) for part in parts])
        raise self._unreadable(name)

    def named(self, name: str) -> Kind:
        """'InstanceBootDiskArgs', 'Tenancy', 'outputs.Instance', '_iam.PolicyDocumentArgs'."""
        *places, name = name.split(".")
        scope = self
        for place in places:
            if place != "outputs":
                scope = scope_of(self._sdk, self._sdk.root / place.removeprefix("_"))
        return scope._local(name, ("outputs",) if "outputs" in places else ("_inputs", "_enums"))

    def _local(self, name: str, files: tuple[str, ...]) -> Kind:
        for file in (self._folder / f"{file}.py" for file in files):
            if name in source(file):
                choices = source(file).choices(name)
                return OneOf(choices) if choices else Record(Fields(self, file, name))
        raise self._unreadable(name)

    def _unreadable(self, text: str) -> SdkError:
        return SdkError(
            f"{self._sdk.module} {self._sdk.version}: nothing is known of the type {text} in {self._folder}; "
            "lab/plugins/cloud/schema.py must learn it"
        )


@cache
def scope_of(sdk: Sdk, folder: Path) -> Scope:
    return Scope(sdk, folder)


def _union(kinds: list[Kind]) -> Kind:
    choices = [kind for kind in kinds if isinstance(kind, OneOf)]
    return Known(choices[0].choices) if choices and "string" in kinds else AnyOf(tuple(kinds))


def input_schema(sdk: Sdk, resource: ResourceSource) -> Record:
    return Record(Fields(scope_of(sdk, resource.folder), resource.file, resource.inputs))


def output_schema(sdk: Sdk, resource: ResourceSource) -> Record:
    """A resource's outputs; every one but those that are `Optional` has a value once it exists."""
    return Record(Fields(scope_of(sdk, resource.folder), resource.file, resource.outputs))


class Settings(Mapping[str, Kind]):
    """A provider's settings, as the SDK's Provider class sends them. Only read if a stack has such a provider."""

    def __init__(self, sdk: Sdk) -> None:
        self._sdk = sdk

    @cached_property
    def _kinds(self) -> dict[str, Kind]:
        fields = Fields(scope_of(self._sdk, self._sdk.root), self._sdk.root / "provider.py", "ProviderArgs")
        return {name: kind if is_text(kind) else Encoded(kind) for name, kind in fields.items()}

    def __getitem__(self, name: str) -> Kind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)


def is_text(kind: Kind) -> bool:
    return kind == "string" or isinstance(kind, (Known, OneOf))
