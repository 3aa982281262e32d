"""
Serves the rules to the engine. pulumi_policy's own server reads every resource anew for every rule, hides which inputs
are secret, shows stack rules what the provider has yet to compute as unknown, and ignores settings for rules that it
does not have; this one does none of that. Levels, settings and diagnostics stay pulumi_policy's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import grpc
import pulumi_policy.policy as sdk
from google.protobuf import json_format
from pulumi.runtime import proto
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from .gateways import forget
from .reading import Inputs
from .settings import settings_problems


class RuleHost(sdk._PolicyAnalyzerServicer):
    """The server of one pack during one operation of the engine."""

    def __init__(self, name: str, version: str, policies: list[Policy], *rest: Any) -> None:
        super().__init__(name, version, policies, *rest)
        self._rules = policies
        self._written: dict[str, Inputs] = {}

    def Analyze(self, request: Any, _context: Any) -> Any:
        response = proto.AnalyzeResponse()
        inputs = self._written[request.urn] = Inputs(request.properties)
        options, provider = self._get_resource_options(request), self._get_provider_resource(request)
        for rule, report in self._enforced(ResourceValidationPolicy, response):
            config = self._get_policy_config(rule.name)
            rule.validate(
                ResourceValidationArgs(
                    request.type, inputs, request.urn, request.name, options, provider, config
                ),
                report,
            )
        return response

    def AnalyzeStack(self, request: Any, _context: Any) -> Any:
        response = proto.AnalyzeResponse()
        resources = self._resources(request)
        try:
            for rule, report in self._enforced(StackValidationPolicy, response):
                rule.validate(StackValidationArgs(resources, self._get_policy_config(rule.name)), report)
        finally:
            forget()
        return response

    def Configure(self, request: Any, context: Any) -> Any:
        wanted = {
            name: json_format.MessageToDict(config.properties)
            for name, config in request.policyConfig.items()
        }
        if problems := settings_problems(wanted, self._rules):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "; ".join(problems))
        self.__dict__.pop("_levels", None)
        return super().Configure(request, context)  # type: ignore[no-untyped-call]

    def _enforced(self, kind: type[Policy], response: Any) -> Iterator[tuple[Any, ReportViolation]]:
        """The rules of a kind that the stack has not disabled, each with where it reports."""
        for rule, level in self._levels[kind]:
            yield (
                rule,
                self._create_report_violation(response, rule.name, rule.description, level, rule.severity),
            )

    @cached_property
    def _levels(self) -> dict[type[Policy], list[tuple[Policy, EnforcementLevel]]]:
        """What is asked first once levels are configured, and for every resource then."""
        levels: dict[type[Policy], list[tuple[Policy, EnforcementLevel]]] = defaultdict(list)
        for rule in self._rules:
            level = self._get_enforcement_level(rule)
            if level is EnforcementLevel.REMEDIATE:
                # No rule changes resources.
                level = EnforcementLevel.MANDATORY
            if level is not EnforcementLevel.DISABLED:
                levels[type(rule)].append((rule, level))
        return levels

    def _resources(self, request: Any) -> list[PolicyResource]:
        found = {
            sent.urn: PolicyResource(
                sent.type,
                Inputs(sent.properties, self._written.get(sent.urn)),
                sent.urn,
                sent.name,
                self._get_resource_options(sent),
                self._get_provider_resource(sent),
                None,
                [],
                {},
            )
            for sent in request.resources
        }
        for sent in request.resources:
            resource = found[sent.urn]
            resource.parent = found.get(sent.parent)
            resource.dependencies = [found[urn] for urn in sent.dependencies if urn in found]
            resource.property_dependencies = {
                key: [found[urn] for urn in owners.urns if urn in found]
                for key, owners in sent.propertyDependencies.items()
            }
        return list(found.values())


def use() -> None:
    """Make this the server that `PolicyPack` starts; it offers no other way to choose one."""
    sdk._PolicyAnalyzerServicer = RuleHost  # type: ignore[misc, assignment]
