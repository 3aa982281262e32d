"""Writes docs/policies.md from the rules: `python -m policy.docs`, which `make docs` runs. A test compares the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pulumi_policy import EnforcementLevel, Policy, StackValidationPolicy

from policy.rules import RISKS, RULES
from policy.rules.settings import EXAMPLE, LEVELS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "policies.md"

_INTRODUCTION = """\
<!-- Made from policy/rules by `make docs`; edit the rules. -->
# Policies

The pack in `policy/` judges the resources of a stack before they are made, whoever wrote the program that declares
them. `make preview` and `make up` run it; with the Pulumi CLI it is `pulumi preview --policy-pack policy`. It has
{count} rules, {mandatory} of them mandatory: such a violation fails the preview, and with it the pull request.

A rule that cannot judge, because an input is known only after the update or has a shape that it does not know, says
so as a violation of its own level. It never passes silently. No message holds a secret: inputs that the program marked
as secret, and whatever looks like a key, are taken out.

## Levels and settings of a stack

`policy/config.<stack>.json` chooses them for one stack. `make preview` and `make up` find it; the Pulumi CLI is told
with `--policy-pack-config policy/config.<stack>.json`. A rule is given a level ({levels}), or a level and settings:

```json
{example}
```

A name that no rule has, a setting that a rule does not have, and a value of the wrong type are refused with those that
exist, by the launcher before the engine starts and by the pack itself whoever runs it.
"""


def page() -> str:
    """The whole document."""
    mandatory = sum(rule.enforcement_level is EnforcementLevel.MANDATORY for rule in RULES)
    levels = ", ".join(f"`{level}`" for level in LEVELS)
    introduction = _INTRODUCTION.format(count=len(RULES), mandatory=mandatory, levels=levels, example=EXAMPLE)
    return "\n".join([introduction, *(line for risk in RISKS for line in _risk(risk))])


def _risk(risk: ModuleType) -> Iterator[str]:
    title = risk.__name__.rsplit(".", 1)[-1]
    purpose = " ".join((risk.__doc__ or "").split())
    yield f"## {title.capitalize()}\n"
    yield f"{purpose}\n"
    for rule in risk.RULES:
        yield from _rule(rule)


def _rule(rule: Policy) -> Iterator[str]:
    level = rule.enforcement_level.value if rule.enforcement_level else "advisory"
    severity = rule.severity.value if rule.severity else "none"
    judged = (
        "all resources together" if isinstance(rule, StackValidationPolicy) else "each resource by itself"
    )
    yield f"### {rule.name}\n"
    yield f"{rule.description}\n"
    yield f"- Level: {level}. Severity: {severity}. Judges {judged}."
    yield f"- Remedy: {rule.remediation_steps}"
    yield f"- Source: <{rule.url}>"
    for name, schema in (rule.config_schema.properties if rule.config_schema else {}).items():
        yield f"- Setting `{name}` ({_kind(schema)}): {schema['description']}"
    yield ""


def _kind(schema: dict[str, Any]) -> str:
    default = f"default {schema['default']}" if "default" in schema else "no default"
    least = f", at least {schema['minimum']}" if "minimum" in schema else ""
    return f"{schema['type']}{least}, {default}"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"docs/{PAGE.name}: {len(RULES)} rules")
