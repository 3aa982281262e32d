"""What the check puts into the cluster: one namespace with a probe on every node and a Service per region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Every run has a namespace of its own: resolvers remember the last run's names for half a minute.
NAMESPACES = "tailspan-check"
IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.53"
HTTP, UDP, FILES = 8080, 8081, 8082
Json = dict[str, Any]


def namespace(name: str) -> Json:
    labels = {"app.kubernetes.io/name": NAMESPACES}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def probe(namespace: str, image: str) -> Json:
    """netexec answers and asks, the file server holds what is transferred; on every node."""
    serve = (
        f"/agnhost test-webserver --port={FILES} & exec /agnhost netexec --http-port={HTTP} --udp-port={UDP}"
    )
    container = {
        "name": "probe",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", serve],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "400Mi"}}],
    }
    labels = {"app": "probe"}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "probe", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def service(namespace: str, region: str) -> Json:
    """No selector: its endpoints are written by hand, so that a call surely ends in that region."""
    ports = [{"name": "http", "port": 80, "targetPort": HTTP}]
    metadata = {"name": f"probe-{region}", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}}


def endpoints(namespace: str, region: str, addresses: Sequence[str]) -> Json:
    name = f"probe-{region}"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "tailspan-check",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": HTTP, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }
