"""How a rule is written: once, as a value. What every rule owes its reader is done here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from .inputs import Props, unjudged
from .redaction import Redaction


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A number or a list that a stack may set for a rule; without `default` there is none until somebody sets it."""

    name: str
    kind: str  # a type of JSON Schema: integer, number, string, array
    meaning: str
    default: Any = None
    minimum: float | None = None

    def schema(self) -> dict[str, Any]:
        """What the engine checks a stack's value with, and takes the default from."""
        optional = {"default": self.default, "minimum": self.minimum}
        return {
            "type": self.kind,
            "description": self.meaning,
            **{key: value for key, value in optional.items() if value is not None},
        }


class Report:
    """
    What a rule is handed beside resources: the stack's settings for it, and where to say what is wrong. A message says
    what is wrong and what to write instead. No secret gets into it, and what could not be judged is a violation.
    """

    def __init__(
        self, report: ReportViolation, urn: str | None, settings: Mapping[str, Any], redaction: Redaction
    ) -> None:
        self._report, self._urn, self._redaction = report, urn, redaction
        self.settings = settings

    def __call__(self, message: str, urn: str | None = None) -> None:
        self._report(self._redaction.clean(message), urn or self._urn)

    @contextmanager
    def judging(self, what: str, urn: str | None = None) -> Iterator[None]:
        """
        Judge one object. pulumi_policy turns an unknown input into an advisory note, whatever the rule's level
        (pulumi_policy/policy.py, Analyze), so a green preview would prove nothing; here it is a violation. The same
        holds for an input of a shape that the rule does not know.
        """
        try:
            yield
        except UnknownValueError as error:
            self(unjudged(what, error), urn)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            # Not the error's text: it may quote an input.
            self(
                f"{what}: could not be judged, an input has an unexpected shape ({type(error).__name__}). "
                "Write it as the provider's documentation has it.",
                urn,
            )


def resource_rule(
    *,
    name: str,
    description: str,
    types: Iterable[str] | None,
    validate: Callable[[ResourceValidationArgs, Report], None],
    severity: Severity,
    remediation: str,
    source: str,
    level: EnforcementLevel = EnforcementLevel.MANDATORY,
    settings: Sequence[Setting] = (),
) -> ResourceValidationPolicy:
    """
    A rule that judges the inputs of one resource, of the given types (None: of every type), before it is made.
    `description` is a fact, `source` the page that the fact is from.
    """
    wanted = None if types is None else frozenset(types)
    defaults = _defaults(settings)

    def judge(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if wanted is not None and args.resource_type not in wanted:
            return
        said = Report(report, args.urn, {**defaults, **args.get_config()}, Redaction([args.props]))
        with said.judging(what(args)):
            validate(args, said)

    return ResourceValidationPolicy(
        name=name,
        description=description,
        validate=judge,
        **_facts(level, severity, remediation, source, settings),
    )


def stack_rule(
    *,
    name: str,
    description: str,
    validate: Callable[[StackValidationArgs, Report], None],
    severity: Severity,
    remediation: str,
    source: str,
    level: EnforcementLevel = EnforcementLevel.MANDATORY,
    settings: Sequence[Setting] = (),
) -> StackValidationPolicy:
    """
    A rule that judges all resources together, after they were registered. One object that is not known must not keep
    it from judging the others: it wraps each in `report.judging`.
    """
    defaults = _defaults(settings)

    def judge(args: StackValidationArgs, report: ReportViolation) -> None:
        redaction = Redaction(resource.props for resource in args.resources)
        said = Report(report, None, {**defaults, **args.get_config()}, redaction)
        with said.judging("the stack"):
            validate(args, said)

    return StackValidationPolicy(
        name=name,
        description=description,
        validate=judge,
        **_facts(level, severity, remediation, source, settings),
    )


def what(resource: Any) -> str:
    """A resource in a message: `gcp:compute/firewall:Firewall wireguard`."""
    return f"{resource.resource_type} {resource.name}"


def _facts(
    level: EnforcementLevel, severity: Severity, remediation: str, source: str, settings: Sequence[Setting]
) -> dict[str, Any]:
    """What both kinds of rule say of themselves, in pulumi_policy's words."""
    return {
        "enforcement_level": level,
        "config_schema": _schema(settings),
        "severity": severity,
        "remediation_steps": remediation,
        "url": source,
    }


def _defaults(settings: Sequence[Setting]) -> dict[str, Any]:
    return {setting.name: setting.default for setting in settings}


def _schema(settings: Sequence[Setting]) -> PolicyConfigSchema | None:
    return PolicyConfigSchema({setting.name: setting.schema() for setting in settings}) if settings else None


__all__ = ["Props", "Report", "Setting", "resource_rule", "stack_rule", "what"]
