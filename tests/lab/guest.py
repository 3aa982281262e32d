"""A pod that would rather run on certain nodes, and runs elsewhere once they are gone."""

from __future__ import annotations

import json

from tests.lab import witness
from tests.lab.stand import get, kubectl


def start(name: str, label: str, *values: str) -> None:
    """It prefers nodes whose label has one of the values."""
    preference = {"key": label, "operator": "In", "values": list(values)}
    affinity = {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "preference": {"matchExpressions": [preference]}}
            ]
        }
    }
    container = {"name": name, "image": witness.IMAGE, "imagePullPolicy": "IfNotPresent", "args": ["pause"]}
    labels = {"app": name}
    pod = {"affinity": affinity, "containers": [container], "terminationGracePeriodSeconds": 1}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": witness.NAMESPACE},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(deployment))


def runs_on(name: str) -> str:
    """The node; empty while it does not run."""
    pods = get("pods", "-n", witness.NAMESPACE, "-l", f"app={name}")["items"]
    running = [
        pod
        for pod in pods
        if pod["status"]["phase"] == "Running" and not pod["metadata"].get("deletionTimestamp")
    ]
    return str(running[0]["spec"]["nodeName"]) if running else ""
