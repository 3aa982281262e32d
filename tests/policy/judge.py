"""Running rules as values, on inputs as the engine hands them over: unknown ones guarded."""

from __future__ import annotations

from typing import Any

from pulumi_policy import (
    PolicyCustomTimeouts,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

UNKNOWN = UNKNOWN_STRING_VALUE
NO_OPTIONS = PolicyResourceOptions(False, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])


class Report:
    """Collects violations."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, message: str, urn: str | None = None) -> None:
        self.said.append(message)


def resource(
    kind: str, name: str, props: dict[str, Any], **dependencies: list[PolicyResource]
) -> PolicyResource:
    """A resource of a stack; dependencies are given by the input that refers to them."""
    return PolicyResource(
        kind,
        unknown_checking_proxy(props),
        f"urn:pulumi:dev::tailspan::{kind}::{name}",
        name,
        NO_OPTIONS,
        None,
        None,
        [],
        dependencies,
    )


def on_resource(rule: ResourceValidationPolicy, kind: str, name: str, props: dict[str, Any]) -> list[str]:
    """What a resource rule says."""
    report = Report()
    args = ResourceValidationArgs(kind, unknown_checking_proxy(props), f"urn:{name}", name, NO_OPTIONS, None)
    rule.validate(args, report)
    return report.said


def on_stack(rule: StackValidationPolicy, *resources: PolicyResource) -> list[str]:
    """What a stack rule says."""
    report = Report()
    rule.validate(StackValidationArgs(list(resources)), report)
    return report.said
