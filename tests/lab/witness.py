"""A pod on every node that says whose address it sees: the tests' own, and independent of `make check`."""

from __future__ import annotations

import json

from tests.lab.stand import Json, get, kubectl, until

NAMESPACE, LABEL = "lab-witness", "witness"
IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.53"
PORT = 8080


def start() -> None:
    labels = {"app": LABEL}
    container: Json = {
        "name": "witness",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/agnhost", "netexec", f"--http-port={PORT}"],
    }
    pod: Json = {
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    daemon_set = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "witness", "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    text = "\n---\n".join(json.dumps(item) for item in (namespace, daemon_set))
    kubectl("apply", "-f", "-", stdin=text)


def pods() -> dict[str, Json]:
    """The running and ready ones, by node."""
    found = {}
    for pod in get("pods", "-n", NAMESPACE, "-l", f"app={LABEL}")["items"]:
        conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions") or ()}
        if conditions.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp"):
            found[pod["spec"]["nodeName"]] = pod
    return found


def sees(caller: str, called: str, *, within: float = 40) -> None:
    """The pod on `called` answers the one on `caller`, and its caller's address is that pod's own."""

    def asked() -> bool:
        running = pods()
        assert {caller, called} <= running.keys(), f"running: {sorted(running)}"
        source, target = running[caller], running[called]["status"]["podIP"]
        # busybox' wget has a -T, but it crashes.
        question = ["timeout", "5", "wget", "-qO-", f"http://{target}:{PORT}/clientip"]
        answer = kubectl(
            "exec", "-n", NAMESPACE, source["metadata"]["name"], "--", *question, timeout=15
        ).strip()
        assert answer.rpartition(":")[0] == source["status"]["podIP"], f"{called} saw {answer}"
        return True

    until(f"a pod on {called} sees the true address of one on {caller}", asked, within)
