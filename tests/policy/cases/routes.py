"""Cases of the rules about routes: how they are written, who advertises and who approves them."""

from __future__ import annotations

from tests.policy.judge import UNKNOWN, Cases, case, resource
from tests.policy.policy_files import grants, policy_file, routes
from tests.policy.workloads import (
    ADDRESSES,
    GPU_ROUTES,
    HUB,
    HUB_ROUTES,
    POD,
    REMOTE_COMMAND,
    ROUTES,
    config_map,
    daemon_set,
    machine,
    pod,
)

HALVES = "10.1.0.0/25,10.1.0.128/25,10.129.0.0/17,10.129.128.0/17"
FROM_MAP = {"configMapKeyRef": {"name": "routes", "key": "a"}}
NEXT_TO_IT = {"10.1.0.0/24": ["tag:gpu"], "10.129.0.0/17": ["tag:gpu"]}
STACK = (daemon_set(), ROUTES, machine(), ADDRESSES, HUB)

CASES = {
    "routes-are-well-formed": Cases(
        passes=[
            case(machine()),
            case(machine(TS_ROUTES="")),
            case(daemon_set(), ROUTES),
            case(daemon_set(TS_ROUTES=FROM_MAP), ROUTES),
        ],
        refuses=[
            case(
                machine(TS_ROUTES="10.1.0.0/24, 10.129.0.0/16"),
                said='TS_ROUTES "10.1.0.0/24, 10.129.0.0/16" holds a blank, and containerboot trims none: '
                'it cannot start. Write "10.1.0.0/24,10.129.0.0/16".',
            ),
            case(machine(TS_ROUTES="10.1.0.7/24"), said="an address inside 10.1.0.0/24. Write 10.1.0.0/24"),
            case(machine(TS_ROUTES="10.1.0.0/24;10.2.0.0/24"), said="which is no range"),
            case(machine(TS_ROUTES="10.1.0.0/24,"), said="has '', which is no range"),
            case(
                machine(TS_ROUTES="$ROUTES"), said="put together only where it runs (its variable TS_ROUTES)"
            ),
            case(daemon_set(TS_ROUTES=UNKNOWN), said="could not be judged, input spec.template.spec"),
            case(daemon_set(), said="could not be judged, its routes are put together only where it runs"),
            case(daemon_set(), config_map(a="10.0.0.0/24, 10.128.0.0/16"), said="on a: its ConfigMap, key a"),
        ],
    ),
    "gateways-have-prefixes-of-their-own": Cases(
        passes=[
            case(machine("gpu-a"), machine("gpu-b", TS_ROUTES=HALVES)),
            case(daemon_set(), ROUTES),
            case(
                daemon_set(
                    "one", ((*POD, "nodeSelector"), {"kubernetes.io/hostname": "a"}), TS_ROUTES=HUB_ROUTES
                )
            ),
        ],
        refuses=[
            case(
                machine("gpu-a"),
                machine("gpu-b"),
                said="gateway Pod tailscale/gpu-a-connector (command:remote:Command gpu-a, input stdin) and gateway "
                "Pod tailscale/gpu-b-connector (command:remote:Command gpu-b, input stdin): advertise the same "
                "prefixes (10.1.0.0/24, 10.129.0.0/16)",
            ),
            case(
                machine("gpu-a"),
                machine("gpu-b", TS_ROUTES="10.1.0.0/24"),
                said="Write a ladder: 10.1.0.0/24 for the first gateway, its halves 10.1.0.0/25,10.1.0.128/25 for the",
            ),
            case(daemon_set(TS_ROUTES=HUB_ROUTES), said="every pod of gateway DaemonSet tailscale/router"),
            case(
                daemon_set(),
                config_map(a=HUB_ROUTES, b=HUB_ROUTES),
                said="router) on a and gateway DaemonSet",
            ),
            case(
                resource(
                    "kubernetes:apps/v1:Deployment",
                    "router",
                    {"spec": {"replicas": 2.0, "template": {"spec": pod()["spec"]}}},
                ),
                said="every pod of gateway Deployment default/unnamed",
            ),
        ],
    ),
    "advertised-routes-are-approved": Cases(
        passes=[
            case(machine(), policy_file()),
            case(machine()),
            case(machine(TS_ROUTES=HALVES), policy_file()),
            case(machine(), policy_file(routes(gpu="10.0.0.0/8"))),
        ],
        refuses=[
            case(
                machine(),
                policy_file({"autoApprovers": {"routes": NEXT_TO_IT}}),
                said='Add to autoApprovers.routes: "10.129.0.0/16": ["tag:gpu"]',
            ),
            case(machine(), policy_file(routes(hub=GPU_ROUTES.replace(",", " "))), said="does not cover"),
            case(machine(), policy_file({}), said='"10.1.0.0/24": ["tag:gpu"], "10.129.0.0/16": ["tag:gpu"]'),
            case(machine(), policy_file("{"), said="could not be judged"),
            case(machine(), policy_file(UNKNOWN), said="could not be judged, input acl is not known"),
        ],
    ),
    "grants-join-regions": Cases(
        passes=[
            case(*STACK, policy_file()),
            case(*STACK, policy_file(grants(("*", "*", "*")))),
            case(*STACK, policy_file({"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]})),
            case(*STACK, policy_file({"hosts": {"a": "10.0.0.0/8"}} | grants(("a", "a", "*")))),
            case(*STACK, policy_file({})),
            case(ADDRESSES, policy_file(grants())),
        ],
        refuses=[
            case(
                *STACK,
                policy_file(grants(("tag:hub tag:gpu", "*", "*"))),
                said='{"src": ["10.128.0.0/16"], "dst": ["10.129.0.0/16"], "ip": ["*"]}',
            ),
            case(
                *STACK,
                policy_file(grants(("10.128.0.0/9", "10.128.0.0/9", "*"))),
                said="nothing lets the nodes of region gpu (10.1.0.0/24) reach the API server (10.0.0.0/24)",
            ),
            case(
                *STACK,
                policy_file(grants(("*", "*", "tcp:6443"))),
                said="nothing lets 10.128.0.0/16 (region hub)",
            ),
            case(
                daemon_set(),
                ROUTES,
                machine(),
                policy_file({"acls": []}),
                said="(region of Pod tailscale/gpu-a-connector",
            ),
        ],
    ),
    "machine-texts-are-known": Cases(
        passes=[
            case(machine()),
            case(resource("aws:ec2/instance:Instance", "a", {"userData": "#!/bin/sh", "privateIp": UNKNOWN})),
            case(
                resource(
                    "command:remote:CopyToRemote",
                    "a",
                    {"remotePath": "/etc/kubernetes/manifests/a.yaml", "source": {"text": "kind: Pod"}},
                )
            ),
            case(
                resource(
                    "command:remote:CopyToRemote", "a", {"remotePath": "/opt", "source": {"path": "tool"}}
                )
            ),
        ],
        refuses=[
            case(
                resource(REMOTE_COMMAND, "a", {"create": "bash -s", "stdin": UNKNOWN}),
                said="input stdin is not known",
            ),
            case(
                resource("gcp:compute/instance:Instance", "a", {"metadataStartupScript": UNKNOWN}),
                said="Instance a, the gateway that it may write: could not be judged, input metadataStartupScript",
            ),
            case(
                resource(
                    "command:remote:CopyToRemote",
                    "a",
                    {"remotePath": "/etc/kubernetes/manifests/a.yaml", "source": {"path": "a.yaml"}},
                ),
                said="Write the manifest as a StringAsset",
            ),
        ],
    ),
}
