"""A label that kubelets are kept from setting places a gateway as well as a trusted one; a weak policy keeps nobody."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pulumi_policy import PolicyResource

from policy.rules import RULES
from tests.policy.judge import judge, resource
from tests.policy.workloads import POD, ROUTES, daemon_set

LABEL = "example.com/gateway"
KIND = "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy"
RULE = next(rule for rule in RULES if rule.name == "gateways-are-placed-by-trusted-labels")
GATEWAY = daemon_set("router", ((*POD, "nodeSelector"), {LABEL: "a"}))
SPEC: dict[str, Any] = {
    "failurePolicy": "Fail",
    "matchConstraints": {
        "resourceRules": [{"operations": ["CREATE", "UPDATE"], "resources": ["nodes", "nodes/status"]}]
    },
    "validations": [{"expression": f"!('{LABEL}' in object.metadata.labels)"}],
}


def policy(**changes: Any) -> PolicyResource:
    return resource(KIND, "guard", {"metadata": {"name": "guard"}, "spec": copy.deepcopy(SPEC) | changes})


def binding(*actions: str, name: str = "guard") -> PolicyResource:
    spec = {"policyName": name, "validationActions": list(actions)}
    return resource(f"{KIND}Binding", "guard-binding", {"metadata": {"name": "binding"}, "spec": spec})


def refused(*resources: PolicyResource) -> bool:
    said = judge(RULE, GATEWAY, ROUTES, *resources)
    return any(LABEL in line for line in said)


def test_a_guarded_label_is_enough() -> None:
    assert refused()
    assert not refused(policy(), binding("Deny"))


def only(**rule: list[str]) -> dict[str, Any]:
    return {"resourceRules": [SPEC["matchConstraints"]["resourceRules"][0] | rule]}


@pytest.mark.parametrize(
    "resources",
    [
        (policy(),),
        (policy(), binding("Warn", "Audit")),
        (policy(), binding("Deny", name="another")),
        (policy(failurePolicy="Ignore"), binding("Deny")),
        (policy(validations=[]), binding("Deny")),
        (policy(validations=[{"expression": "true"}]), binding("Deny")),
        (policy(matchConstraints=only(operations=["CREATE"])), binding("Deny")),
        (policy(matchConstraints=only(resources=["nodes"])), binding("Deny")),
    ],
    ids=["unbound", "warns", "other", "ignores", "nothing", "anything", "updates", "status"],
)
def test_a_policy_that_lets_labels_pass_is_not(resources: tuple[PolicyResource, ...]) -> None:
    assert refused(*resources)
