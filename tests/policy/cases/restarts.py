"""Cases of the rules about gateways that come back."""

from __future__ import annotations

from typing import Any

from pulumi_policy import PolicyResource

from tests.policy.judge import Cases, case, resource
from tests.policy.workloads import ADDRESSES, DAEMON_SET, HUB, POD, ROUTES, daemon_set, machine

NOTES = ("metadata", "annotations")
SELECTOR = (*POD, "nodeSelector")
ROLLING = ("spec", "updateStrategy", "rollingUpdate")
IN_GPU = {"node-restriction.kubernetes.io/tailspan-region": "gpu"}
WINDOWS = resource(
    "gcp:container/nodePool:NodePool", "w", {"nodeConfig": {"imageType": "WINDOWS_LTSC_CONTAINERD"}}
)


def plugin(**notes: str) -> PolicyResource:
    return resource(DAEMON_SET, "plugin", {"metadata": {"name": "plugin", "annotations": notes}, "spec": {}})


def release(chart: str, **props: Any) -> PolicyResource:
    return resource("kubernetes:helm.sh/v3:Release", chart, {"chart": chart} | props)


CASES = {
    "gateways-keep-their-state-at-hand": Cases(
        passes=[
            case(machine()),
            case(daemon_set(), ROUTES, HUB, ADDRESSES),
            case(daemon_set("far", (SELECTOR, IN_GPU), TS_KUBE_SECRET=""), ROUTES, HUB, ADDRESSES),
        ],
        refuses=[
            case(machine(TS_KUBE_SECRET=...), said="TS_KUBE_SECRET is not set, and its default is a Secret"),
            case(machine(TS_KUBE_SECRET="tailscale"), said='Write TS_KUBE_SECRET with the value ""'),
            case(machine(TS_STATE_DIR=...), said="TS_STATE_DIR is not set, so every restart is a new device"),
            case(machine(TS_STATE_DIR="/tmp/state"), said="TS_STATE_DIR /tmp/state is on no hostPath"),
            case(
                daemon_set("far", (SELECTOR, IN_GPU)),
                HUB,
                ADDRESSES,
                said="TS_KUBE_SECRET is not empty, so after a restart containerboot waits for the API server",
            ),
        ],
    ),
    "gateways-log-in-once": Cases(
        passes=[case(machine()), case(daemon_set())],
        refuses=[
            case(machine(TS_AUTH_ONCE=...), said="TS_AUTH_ONCE is not set, and its default is false"),
            case(
                daemon_set(TS_AUTH_ONCE="false"), said="TS_AUTH_ONCE is false, so every restart needs a key"
            ),
        ],
    ),
    "gateways-restart-one-at-a-time": Cases(
        passes=[
            case(daemon_set()),
            case(daemon_set("a", (ROLLING, {"maxUnavailable": 1.0, "maxSurge": 0.0}))),
            case(plugin(), machine()),
        ],
        refuses=[
            case(daemon_set("a", (ROLLING, {"maxUnavailable": 2.0})), said="Write maxUnavailable: 1"),
            case(daemon_set("a", (ROLLING, {"maxUnavailable": "50%"})), said="maxUnavailable is 50%"),
            case(daemon_set("a", (ROLLING, {"maxSurge": 1.0})), said="Remove maxSurge"),
        ],
    ),
    "gateways-run-on-linux": Cases(
        passes=[
            case(daemon_set()),
            case(daemon_set("a", (SELECTOR, {"kubernetes.io/os": "linux"})), WINDOWS, machine()),
        ],
        refuses=[
            case(
                daemon_set(),
                WINDOWS,
                said="may be placed on Windows nodes (gcp:container/nodePool:NodePool w)",
            ),
            case(
                daemon_set("a", (SELECTOR, {"kubernetes.io/os": "windows"})),
                said="Write nodeSelector kubernetes.io/os",
            ),
        ],
    ),
    "no-update-waits-for-a-dead-machine": Cases(
        passes=[
            case(daemon_set()),
            case(plugin()),
            case(plugin(**{"pulumi.com/skipAwait": "true"}), machine()),
            case(release("cilium", skipAwait=True), release("redis"), machine()),
        ],
        refuses=[
            case(plugin(), machine(), said='Add the annotation pulumi.com/skipAwait: "true"'),
            case(plugin(**{"pulumi.com/timeoutSeconds": "60"}), machine(), said="for ten minutes"),
            case(daemon_set("a", (NOTES, {})), said="on every machine, also on one that is off"),
            case(release("cilium"), machine(), said="Write skipAwait: true"),
        ],
    ),
}
