"""Cases of the rules about a gateway's own settings and the policy file's options."""

from __future__ import annotations

from typing import Any

from pulumi_policy import PolicyResource

from tests.policy.judge import UNKNOWN, Cases, case, resource
from tests.policy.policy_files import POLICY, policy_file
from tests.policy.workloads import FLAGS, ROUTES, daemon_set, machine

GOOD = machine()
HOSTED = "https://headscale.example.com"


def flags(text: str) -> PolicyResource:
    return machine(TS_EXTRA_ARGS=text)


def key(**changes: Any) -> PolicyResource:
    props = {"reusable": False, "preauthorized": True, "expiry": 3600.0, "tags": ["tag:gpu"]}
    return resource("tailscale:index/tailnetKey:TailnetKey", "gpu-a", props | changes)


CASES = {
    "gateways-keep-source-addresses": Cases(
        passes=[case(GOOD), case(daemon_set(), ROUTES), case(machine(TS_ROUTES=...))],
        refuses=[
            case(flags("--accept-routes"), said="--snat-subnet-routes is not given"),
            case(flags("--snat-subnet-routes"), said="--snat-subnet-routes is true"),
            case(
                flags("$ARGS"), said="could not be judged, TS_EXTRA_ARGS is put together only where it runs"
            ),
            case(
                daemon_set(TS_EXTRA_ARGS=UNKNOWN),
                said="DaemonSet tailscale/router (kubernetes:apps/v1:DaemonSet router): could not be judged",
            ),
        ],
    ),
    "gateways-accept-routes": Cases(
        passes=[case(GOOD), case(flags(FLAGS.replace("--accept-routes", "-accept-routes=true")))],
        refuses=[
            case(flags("--accept-routes=false"), said="--accept-routes is false, so it has no way"),
            case(machine(TS_EXTRA_ARGS=...), said="Write --accept-routes in TS_EXTRA_ARGS"),
        ],
    ),
    "gateways-keep-no-state": Cases(
        passes=[case(GOOD)],
        refuses=[case(flags("--accept-routes"), said="Write --stateful-filtering=false in TS_EXTRA_ARGS")],
    ),
    "gateways-leave-dns-alone": Cases(
        passes=[case(GOOD), case(machine(TS_ACCEPT_DNS=...))],
        refuses=[
            case(machine(TS_ACCEPT_DNS="true"), said="accept-dns is true"),
            case(flags(f"{FLAGS} --accept-dns"), said="accept-dns is true"),
        ],
    ),
    "gateways-are-tagged": Cases(
        passes=[
            case(GOOD),
            case(flags(FLAGS), key()),
            case(flags(f"{FLAGS} --login-server={HOSTED}")),
        ],
        refuses=[
            case(flags(FLAGS), said="has no tag"),
            case(flags(FLAGS), key(tags=None), said="Write --advertise-tags=tag:<region> in TS_EXTRA_ARGS"),
        ],
    ),
    "tailnet-keeps-its-port": Cases(
        passes=[case(policy_file()), case(policy_file(POLICY | {"randomizeClientPort": False}))],
        refuses=[
            case(policy_file(POLICY | {"randomizeClientPort": True}), said="Remove randomizeClientPort"),
            case(
                policy_file(
                    '{// for us all\n"nodeAttrs": [{"target": ["*"], "attr": ["randomize-client-port"],},],}'
                ),
                said="nodeAttrs gives randomize-client-port to *",
            ),
        ],
    ),
    "policy-file-survives-destroy": Cases(
        passes=[case(policy_file()), case(policy_file(resetAclOnDestroy=False))],
        refuses=[case(policy_file(resetAclOnDestroy=True), said="Write resetAclOnDestroy: false")],
    ),
    "policy-file-is-guarded": Cases(
        passes=[case(policy_file()), case(policy_file(protect=False, server=HOSTED))],
        refuses=[
            case(policy_file(protect=False), said="Add the option protect=True"),
            case(
                policy_file(overwriteExistingContent=True),
                said="pulumi import tailscale:index/acl:Acl policy acl",
            ),
        ],
    ),
    "tailnet-keys-are-for-one-use": Cases(
        passes=[case(key()), case(key(expiry=172800.0), most_seconds=172800)],
        refuses=[
            case(key(reusable=True), said="Write reusable: false"),
            case(key(preauthorized=None), said="Write preauthorized: true"),
            case(key(tags=[]), said="Write tags: [tag:<region>]"),
            case(key(expiry=None), said="is good for 7776000 s"),
            case(key(), said="at most 60", most_seconds=60),
        ],
    ),
}
