"""Running rules as values, on inputs as the engine hands them over: unknown ones guarded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pulumi_policy import (
    Policy,
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


def options() -> PolicyResourceOptions:
    """Of its own for each resource: a test may change them."""
    return PolicyResourceOptions(False, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])


class Report:
    """Collects violations."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, message: str, urn: str | None = None) -> None:
        self.said.append(message)


@dataclass(frozen=True)
class Case:
    """Resources that a rule passes, or refuses with words among which are `said`."""

    resources: tuple[PolicyResource, ...]
    said: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cases:
    """What a rule must pass and must refuse: at least one of each. Kept beside its risk, in tests/policy/cases/."""

    passes: list[Case]
    refuses: list[Case]


def case(*resources: PolicyResource, said: str = "", **settings: Any) -> Case:
    return Case(resources, said, settings)


def resource(
    kind: str, name: str, props: dict[str, Any], **dependencies: list[PolicyResource]
) -> PolicyResource:
    """A resource of a stack; dependencies are given by the input that refers to them."""
    return PolicyResource(
        kind,
        unknown_checking_proxy(props),
        f"urn:pulumi:dev::tailspan::{kind}::{name}",
        name,
        options(),
        None,
        None,
        [],
        dependencies,
    )


def judge(rule: Policy, *resources: PolicyResource, **settings: Any) -> list[str]:
    """What a rule of either kind says about the resources of a stack."""
    report = Report()
    if isinstance(rule, StackValidationPolicy):
        rule.validate(StackValidationArgs(list(resources), settings), report)
    elif isinstance(rule, ResourceValidationPolicy):
        for each in resources:
            rule.validate(
                ResourceValidationArgs(
                    each.resource_type, each.props, each.urn, each.name, each.opts, each.provider, settings
                ),
                report,
            )
    return report.said


def on_resource(rule: ResourceValidationPolicy, kind: str, name: str, props: dict[str, Any]) -> list[str]:
    """What a resource rule says."""
    return judge(rule, resource(kind, name, props))


def on_stack(rule: StackValidationPolicy, *resources: PolicyResource) -> list[str]:
    """What a stack rule says."""
    return judge(rule, *resources)
