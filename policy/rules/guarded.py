"""Node labels that no kubelet can take for itself, because an admission policy of the stack says who may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .gateways import Stack
from .manifests import Object, at, items, mappings

# https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
_KIND, _BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
_NEEDED = {"operations": {"CREATE", "UPDATE"}, "resources": {"nodes", "nodes/status"}}
_LABEL = re.compile(r"'([^']+/[^']+)' in object\.metadata\.labels")


def guarded_labels(stack: Stack) -> frozenset[str]:
    """
    Labels that the policies ask a Node for. What a policy then answers is CEL, which is not read here; one that lets
    errors pass, is not bound, denies nothing, or overlooks a way to change a label guards nothing.
    """
    denying = {
        str(at(binding.body, "spec", "policyName"))
        for binding in stack.of(_BINDING)
        if "Deny" in items(at(binding.body, "spec", "validationActions"))
        and at(binding.body, "spec", "matchResources") is None
    }
    found: set[str] = set()
    for policy in stack.of(_KIND):
        if policy.name in denying and _sees_every_node(policy):
            found.update(label for text in _expressions(policy) for label in _LABEL.findall(text))
    return frozenset(found)


def _sees_every_node(policy: Object) -> bool:
    spec = at(policy.body, "spec")
    constraints = at(spec, "matchConstraints")
    narrowed = [
        at(constraints, key) for key in ("objectSelector", "namespaceSelector", "excludeResourceRules")
    ]
    if at(spec, "failurePolicy") == "Ignore" or any(narrowed):
        return False
    return any(
        all(wanted <= {str(each) for each in items(at(rule, key))} for key, wanted in _NEEDED.items())
        for rule in mappings(at(constraints, "resourceRules"))
    )


def _expressions(policy: Object) -> Iterator[str]:
    spec: Any = at(policy.body, "spec")
    if any(True for _ in items(at(spec, "validations"))):
        for part in ("variables", "validations"):
            yield from (str(at(row, "expression")) for row in mappings(at(spec, part)))
