"""A pod that would rather run in one region, and runs elsewhere once that region is gone."""

from __future__ import annotations

import json

from tests.lab import witness
from tests.lab.stand import get, kubectl

GUEST = "guest"


def start(region: str) -> None:
    preference = {"key": "topology.kubernetes.io/region", "operator": "In", "values": [region]}
    affinity = {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "preference": {"matchExpressions": [preference]}}
            ]
        }
    }
    container = {"name": GUEST, "image": witness.IMAGE, "imagePullPolicy": "IfNotPresent", "args": ["pause"]}
    labels = {"app": GUEST}
    pod = {"affinity": affinity, "containers": [container], "terminationGracePeriodSeconds": 1}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": GUEST, "namespace": witness.NAMESPACE},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(deployment))


def runs_on() -> str:
    """The node; empty while it does not run."""
    pods = get("pods", "-n", witness.NAMESPACE, "-l", f"app={GUEST}")["items"]
    running = [
        pod
        for pod in pods
        if pod["status"]["phase"] == "Running" and not pod["metadata"].get("deletionTimestamp")
    ]
    return str(running[0]["spec"]["nodeName"]) if running else ""
