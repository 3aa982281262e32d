"""What the program asks for, as the policy pack gets it from the engine."""

from __future__ import annotations

from typing import Any

from pulumi_policy import PolicyProviderResource, PolicyResource

from policy.rules.inputs import SecretText
from tests.components.recording import Recording, Resource, Secret
from tests.policy.judge import resource


def marked(value: Any, *, secret: bool = False) -> Any:
    """An input as the pack's server reads it from the engine."""
    if isinstance(value, Secret):
        return marked(value.value, secret=True)
    if isinstance(value, dict):
        return {key: marked(inner, secret=secret) for key, inner in value.items()}
    if isinstance(value, list):
        return [marked(inner, secret=secret) for inner in value]
    return SecretText(value) if secret and isinstance(value, str) else value


def resources_of(recording: Recording) -> list[PolicyResource]:
    found = {item.name: _resource(recording, item) for item in recording.resources.values()}
    for item in recording.resources.values():
        for key, owners in getattr(item.request, "propertyDependencies", {}).items():
            names = [urn.rsplit("::", 1)[-1] for urn in owners.urns]
            found[item.name].property_dependencies[key] = [found[name] for name in names if name in found]
    return list(found.values())


def _resource(recording: Recording, item: Resource) -> PolicyResource:
    found = resource(item.type, item.name, marked(item.inputs))
    found.urn = _urn(recording, item)
    found.opts.protect = item.protect
    if item.provider in recording.resources:
        provider = recording[item.provider]
        found.provider = PolicyProviderResource(provider.type, marked(provider.inputs), "", provider.name)
    return found


def _urn(recording: Recording, item: Resource) -> str:
    """As the engine makes it: with the types of the components around it."""
    types = [item.type]
    while item.parent in recording.resources:
        item = recording[item.parent]
        types.insert(0, item.type)
    return f"urn:pulumi:dev::tailspan::{'$'.join(types)}::{item.name}"
