"""Which nodes may say of themselves that they are a gateway, where gateways are nodes of a cloud's pools."""

from __future__ import annotations

from typing import Any

import pulumi

from components import kube
from network.managed import GATEWAY_LABEL as LABEL
from network.pool_rules import GKE_NODE

NAME = "tailspan-gateway-label"


def gateway_label_guard(opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """
    The pod of a gateway holds its key, and its label is one that kubelets may set. GKE's own nodes come with their
    pool's labels when they register; no kubelet gets this one later, and no other machine's ever. Who stole a machine
    elsewhere has that machine's name, and who stole a node of another pool has one that is registered.
    """
    policy = kube.ValidatingAdmissionPolicy(NAME, metadata={"name": NAME}, spec=_spec(), opts=opts)
    binding = kube.ValidatingAdmissionPolicyBinding(
        f"{NAME}-binding",
        metadata={"name": NAME},
        spec={"policyName": NAME, "validationActions": ["Deny"]},
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[policy])),
    )
    return [policy, binding]


def _spec() -> dict[str, Any]:
    """CEL (https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/)."""
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    # A kubelet's labels come with its status, too.
                    "resources": ["nodes", "nodes/status"],
                }
            ]
        },
        "matchConditions": [
            {"name": "kubelets", "expression": "'system:nodes' in request.userInfo.groups"},
        ],
        "variables": [
            {"name": "now", "expression": _value_in("object")},
            {"name": "before", "expression": f"oldObject == null ? '' : ({_value_in('oldObject')})"},
        ],
        "validations": [
            {
                "expression": "variables.now == '' || variables.now == variables.before || "
                "(request.operation == 'CREATE' && "
                f"request.userInfo.username.startsWith('system:node:{GKE_NODE}'))",
                "message": f"a kubelet cannot give its node the label {LABEL}; nodes of a gateway's pool come with it",
            }
        ],
    }


def _value_in(node: str) -> str:
    labels = f"{node}.metadata.labels"
    return f"has({labels}) && '{LABEL}' in {labels} ? {labels}['{LABEL}'] : ''"
