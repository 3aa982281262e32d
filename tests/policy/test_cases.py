"""Every rule passes what it should and refuses what it should; and it is that rule which refuses."""

from __future__ import annotations

from importlib import import_module

import pytest
from pulumi_policy import Policy, ResourceValidationPolicy, StackValidationPolicy

from policy.rules import RISKS, RULES
from tests.policy.judge import Case, Cases, judge

CASES: dict[str, Cases] = {}
for risk in RISKS:
    CASES |= import_module(f"tests.policy.cases.{risk.__name__.rsplit('.', 1)[-1]}").CASES


def pairs(kind: str) -> list[object]:
    return [
        pytest.param(rule, case, id=f"{rule.name}-{number}")
        for rule in RULES
        for number, case in enumerate(getattr(CASES[rule.name], kind) if rule.name in CASES else [])
    ]


def check_refused(rule: Policy, case: Case) -> None:
    messages = judge(rule, *case.resources, **case.settings)
    assert any(case.said in message for message in messages), messages
    assert messages, f"{rule.name} refuses nothing"


def always_pass(rule: Policy) -> Policy:
    """The rule with its judgement taken out."""
    kind = StackValidationPolicy if isinstance(rule, StackValidationPolicy) else ResourceValidationPolicy
    return kind(rule.name, rule.description, lambda args, report: None)


def test_every_rule_has_a_case_that_it_passes_and_one_that_it_refuses() -> None:
    assert set(CASES) == {rule.name for rule in RULES}
    assert [name for name, cases in CASES.items() if not cases.passes or not cases.refuses] == []


@pytest.mark.parametrize(("rule", "case"), pairs("passes"))
def test_a_rule_passes_what_is_right(rule: Policy, case: Case) -> None:
    assert judge(rule, *case.resources, **case.settings) == []


@pytest.mark.parametrize(("rule", "case"), pairs("refuses"))
def test_a_rule_refuses_what_is_wrong(rule: Policy, case: Case) -> None:
    check_refused(rule, case)


@pytest.mark.parametrize(("rule", "case"), pairs("refuses"))
def test_a_rule_that_always_passes_turns_its_case_red(rule: Policy, case: Case) -> None:
    """The mutant: were the case's verdict not this rule's own doing, the check above would prove nothing."""
    with pytest.raises(AssertionError):
        check_refused(always_pass(rule), case)


@pytest.mark.parametrize(("rule", "case"), pairs("refuses"))
def test_what_is_refused_says_what_to_write_instead(rule: Policy, case: Case) -> None:
    for message in judge(rule, *case.resources, **case.settings):
        assert any(
            word in message.lower() for word in ("write", "set ", "add ", "remove", "raise", "use ", "give ")
        ), message
