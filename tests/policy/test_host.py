"""The pack's server: reads once, marks secrets, tells the unwritten from the unknown, refuses unknown settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import proto
from pulumi_policy import ResourceValidationArgs, Severity, StackValidationArgs

from policy.rules.inputs import is_secret, leaves
from policy.rules.rule import Report, Setting, resource_rule, stack_rule
from tests.policy.judge import UNKNOWN
from tests.policy.wire import Refused, Wire, secret

ROOT = Path(__file__).resolve().parents[2]
KIND = "aws:ec2/securityGroup:SecurityGroup"


def tell(args: ResourceValidationArgs, report: Report) -> None:
    report(f"{args.props.get('key')} {is_secret(args.props.get('key'))} {report.settings['most']}")


def tell_all(args: StackValidationArgs, report: Report) -> None:
    for each in args.resources:
        with report.judging(each.name):
            texts = [str(leaf) for value in each.props.values() for leaf in leaves(value)]
            report(f"{each.name} {sorted(each.props)} {texts}")


ONE = resource_rule(
    name="one", description="Facts.", types=[KIND], validate=tell, severity=Severity.LOW, remediation="R.",
    source="https://example.com", settings=[Setting(name="most", kind="integer", meaning="M.", default=2, minimum=1)],
)  # fmt: skip
MANY = stack_rule(
    name="many", description="Facts.", validate=tell_all, severity=Severity.LOW, remediation="R.",
    source="https://example.com",
)  # fmt: skip


def said(diagnostics: list[Any]) -> list[str]:
    return [each.message.removeprefix("Facts.\n") for each in diagnostics]


def test_a_secret_input_is_known_as_one_and_not_printed() -> None:
    assert said(Wire(ONE).one(KIND, "a", {"key": secret("correct-horse")})) == ["[secret] True 2"]
    assert said(Wire(ONE).one(KIND, "a", {"key": "correct-horse"})) == ["correct-horse False 2"]


def test_an_unknown_input_is_a_violation_of_the_rules_level() -> None:
    (diagnostic,) = Wire(ONE).one(KIND, "a", {"key": UNKNOWN})
    assert diagnostic.enforcementLevel == proto.MANDATORY
    assert "could not be judged, input key is not known" in diagnostic.message


def test_what_a_provider_will_compute_is_absent_and_what_was_written_but_is_unknown_is_unknown() -> None:
    wire = Wire(MANY)
    wire.one(KIND, "a", {"name": "gateway", "tags": {"x": "y"}})
    wire.one(KIND, "b", {"name": UNKNOWN})
    outputs = {"name": "gateway", "ingress": UNKNOWN, "tags": {"x": "y", "z": UNKNOWN}, "vpc": "default"}
    one, other = said(wire.all((KIND, "a", outputs), (KIND, "b", {"name": UNKNOWN})))
    assert one.startswith("a ['name', 'tags', 'vpc']")
    assert other.startswith("b: could not be judged, input name is not known")


def test_outputs_that_are_known_win_over_inputs_and_a_secret_stays_one() -> None:
    wire = Wire(MANY)
    wire.one(KIND, "a", {"cidr": "10.0.0.1/24", "key": secret("correct-horse"), "list": [{"id": UNKNOWN}]})
    (message,) = said(
        wire.all((KIND, "a", {"cidr": "10.0.0.0/24", "key": "correct-horse", "list": [{"id": "i-1"}]}))
    )
    assert message == "a ['cidr', 'key', 'list'] ['10.0.0.0/24', '[secret]', 'i-1']"


def test_a_resource_that_was_never_analyzed_alone_is_judged_by_what_is_sent() -> None:
    (message,) = said(Wire(MANY).all((KIND, "a", {"name": UNKNOWN})))
    assert "could not be judged" in message


def test_levels_and_settings_of_a_stack_reach_the_rule() -> None:
    wire = Wire(ONE, MANY)
    wire.configure(one=(proto.ADVISORY, {"most": 7}), many=(proto.DISABLED, {}))
    (diagnostic,) = wire.one(KIND, "a", {"key": "x"})
    assert (diagnostic.enforcementLevel, said([diagnostic])) == (proto.ADVISORY, ["x False 7.0"])
    assert wire.all((KIND, "a", {})) == []


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"on": (proto.ADVISORY, {})}, "no rule is named on. Write one, or another of: many, one."),
        (
            {"one": (proto.ADVISORY, {"mots": 7})},
            "one: has no setting mots. Write most, or another of: most.",
        ),
        (
            {"one": (proto.ADVISORY, {"most": 0})},
            "one: most is 0.0. Write a value of type integer of at least 1.",
        ),
        (
            {"many": (proto.ADVISORY, {"most": 1})},
            "many: has no setting most. Remove it: there is nothing to set.",
        ),
    ],
)
def test_settings_that_no_rule_has_are_refused_with_those_that_exist(
    config: dict[str, Any], line: str
) -> None:
    with pytest.raises(Refused) as refused:
        Wire(ONE, MANY).configure(**config)
    assert str(refused.value) == line


def test_a_process_that_judged_a_stack_ends_without_a_fault() -> None:
    """What the engine sent and was kept in a module crashed the process when Python took itself down."""
    program = """
from policy.rules import RULES
from tests.policy.wire import Wire
wire = Wire(*RULES)
wire.one("aws:ec2/vpc:Vpc", "main", {"cidrBlock": "10.0.0.0/16"})
wire.all(("aws:ec2/vpc:Vpc", "main", {"cidrBlock": "10.0.0.0/16"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
