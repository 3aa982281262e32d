"""How rules walk over the gateways and policy files of a stack: one that cannot be judged keeps no other from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pulumi_policy import StackValidationArgs

from .gateways import Gateway, stack_of
from .policy_text import ACL, PolicyText, policy_of
from .rule import Report, what

StackCheck = Callable[[StackValidationArgs, Report], None]


def each_gateway(check: Callable[[Gateway, Report], None]) -> StackCheck:
    """A rule about gateways one by one."""

    def validate(args: StackValidationArgs, report: Report) -> None:
        for gateway in stack_of(args.resources).gateways:
            with report.judging(str(gateway), gateway.urn):
                check(gateway, report)

    return validate


def each_policy(args: StackValidationArgs, report: Report) -> Iterator[PolicyText]:
    """The policy files that the stack writes. A stack without one verifies it elsewhere, or a person keeps it."""
    for resource in args.resources:
        if resource.resource_type == ACL:
            with report.judging(what(resource), resource.urn):
                yield policy_of(resource)
