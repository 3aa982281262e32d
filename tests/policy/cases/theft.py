"""Cases of the rules about stolen machines."""

from __future__ import annotations

from typing import Any

from pulumi_policy import PolicyResource

from tests.policy.judge import UNKNOWN, Cases, case, resource
from tests.policy.policy_files import POLICY, grants, policy_file, routes
from tests.policy.workloads import ADDRESSES, DAEMON_SET, FLAGS, HUB, POD, ROUTES, daemon_set, machine

SELECTOR = (*POD, "nodeSelector")
AFFINITY = (
    *POD,
    "affinity",
    "nodeAffinity",
    "requiredDuringSchedulingIgnoredDuringExecution",
    "nodeSelectorTerms",
)
ONE_TAG = f"{FLAGS} --advertise-tags=tag:k8s"
STACK = (daemon_set(), ROUTES, machine(), ADDRESSES, HUB)
NAMED = {
    "apiGroups": [""],
    "resources": ["secrets"],
    "resourceNames": ["router-a"],
    "verbs": ["get", "patch"],
}
CREATE = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}
ALL = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "update", "patch"]}


def rbac(*rules: dict[str, Any], kind: str = "Role", account: str = "router") -> tuple[PolicyResource, ...]:
    """A role and its binding to a service account of the gateways' namespace."""
    metadata = {"name": "router", "namespace": "tailscale"}
    subjects = [{"kind": "ServiceAccount", "name": account, "namespace": "tailscale"}]
    binding = {"metadata": metadata, "roleRef": {"kind": kind, "name": "router"}, "subjects": subjects}
    return (
        daemon_set(),
        resource(
            f"kubernetes:rbac.authorization.k8s.io/v1:{kind}",
            "role",
            {"metadata": metadata, "rules": list(rules)},
        ),
        resource(f"kubernetes:rbac.authorization.k8s.io/v1:{kind}Binding", "binding", binding),
    )


def workload(namespace: str) -> PolicyResource:
    return resource(DAEMON_SET, "other", {"metadata": {"name": "other", "namespace": namespace}, "spec": {}})


def allowing(*rows: tuple[str, str, str]) -> PolicyResource:
    return policy_file(POLICY | {"grants": POLICY["grants"] + grants(*rows)["grants"]})


CASES = {
    "approvals-end-at-the-region": Cases(
        passes=[
            case(ADDRESSES, policy_file()),
            case(ADDRESSES, policy_file(routes(gpu="10.1.0.0/24 10.129.0.0/16 192.168.0.0/24"))),
            case(ADDRESSES),
        ],
        refuses=[
            case(
                ADDRESSES,
                policy_file(routes(k8s="10.0.0.0/24 10.128.0.0/16 10.1.0.0/24 10.129.0.0/16")),
                said="tag:k8s may advertise ranges of the regions gpu, hub",
            ),
            case(ADDRESSES, policy_file(routes(gpu="10.0.0.0/8")), said="Write a tag for each region"),
            case(
                ADDRESSES,
                policy_file(routes(gpu="10.1.0.0/24 10.0.0.10/32")),
                said="tag:gpu may advertise ranges of",
            ),
            case(
                machine("a"),
                machine("b", TS_ROUTES="10.2.0.0/24"),
                policy_file(routes(k8s="10.1.0.0/24 10.2.0.0/24")),
                said="of Pod tailscale/a-connector",
            ),
        ],
    ),
    "regions-share-no-tag": Cases(
        passes=[case(*STACK), case(machine("a"), machine("b", TS_ROUTES="10.1.0.0/25,10.1.0.128/25"))],
        refuses=[
            case(
                daemon_set(TS_EXTRA_ARGS=ONE_TAG),
                machine(TS_EXTRA_ARGS=ONE_TAG),
                ROUTES,
                ADDRESSES,
                said="tag:k8s: is the tag of gateways of the regions gpu, hub",
            ),
            case(
                machine("a"),
                machine("b", TS_ROUTES="10.2.0.0/24"),
                said="Write --advertise-tags with a tag for each region",
            ),
        ],
    ),
    "gateways-are-placed-by-trusted-labels": Cases(
        passes=[
            case(daemon_set(), machine()),
            case(
                daemon_set(
                    "a",
                    (SELECTOR, {"tailscale": "true"}),
                    (
                        AFFINITY,
                        [
                            {
                                "matchExpressions": [
                                    {"key": "node-restriction.kubernetes.io/a", "operator": "Exists"}
                                ]
                            }
                        ],
                    ),
                )
            ),
            case(workload("default")),
        ],
        refuses=[
            case(
                daemon_set("a", (SELECTOR, {"tailscale": "true"})),
                said="selects nodes by tailscale, and a kubelet can",
            ),
            case(daemon_set("a", (SELECTOR, {})), said="selects no nodes"),
        ],
    ),
    "gateways-read-named-secrets-only": Cases(
        passes=[
            case(*rbac(NAMED, CREATE)),
            case(*rbac(ALL, account="someone")),
            case(*rbac({"apiGroups": [""], "resources": ["events"], "verbs": ["*"]})),
        ],
        refuses=[
            case(*rbac(CREATE, ALL), said="Role tailscale/router"),
            case(*rbac(ALL, kind="ClusterRole"), said="read every Secret of the namespace"),
            case(*rbac({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}), said="Add resourceNames"),
        ],
    ),
    "gateways-live-apart": Cases(
        passes=[case(daemon_set(), workload("kube-system"), machine())],
        refuses=[
            case(
                daemon_set("a", (("metadata", "namespace"), UNKNOWN)),
                said="DaemonSet ?/a (kubernetes:apps/v1:DaemonSet a): could not be judged, input metadata.namespace",
            ),
            case(
                daemon_set("a", (("metadata", "namespace"), "kube-system")),
                said="shares the namespace kube-system, where",
            ),
            case(
                daemon_set(),
                workload("tailscale"),
                said="shares the namespace tailscale with DaemonSet tailscale/other",
            ),
        ],
    ),
    "hub-opens-listed-ports-only": Cases(
        passes=[
            case(ADDRESSES, HUB, policy_file()),
            case(ADDRESSES, HUB, allowing(("10.128.0.0/16", "*", "*"))),
            case(
                ADDRESSES,
                HUB,
                allowing(("10.1.0.0/24", "10.0.0.0/24", "tcp:9100")),
                services=["tcp:6443", "icmp:*", "tcp:9100"],
            ),
            case(ADDRESSES, policy_file(grants(("*", "*", "*")))),
        ],
        refuses=[
            case(
                ADDRESSES,
                HUB,
                policy_file(grants(("*", "*", "*"))),
                said="lets region gpu reach the nodes of region hub",
            ),
            case(
                ADDRESSES,
                HUB,
                allowing(("10.1.0.0/24", "10.0.0.10/32", "tcp:22 tcp:6443")),
                said="(10.0.0.0/24) at tcp:22.",
            ),
            case(ADDRESSES, HUB, allowing(("tag:gpu", "10.0.0.0/24", "tcp:2379")), said="at tcp:2379"),
            case(
                ADDRESSES,
                HUB,
                policy_file(
                    {"acls": [{"action": "accept", "src": ["10.129.0.0/16"], "dst": ["10.0.0.0/24:22,6443"]}]}
                ),
                said="at tcp:22. Write a grant",
            ),
        ],
    ),
}
