"""Kubernetes objects: what reaches the API server, what comes back, and how waits end."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lab.plugins.base import InitFailed, PluginError
from lab.plugins.kubernetes import client, kinds, waiting
from lab.plugins.kubernetes.live import managed_part
from lab.plugins.kubernetes.objects import KubernetesObject
from tests.engine.bench import call
from tests.engine.fake_http import FakeServer, fake_server

KINDS = {kind.kind: KubernetesObject(kind) for kind in kinds.KINDS}
STORE = dict[str, Any]


@pytest.fixture
def store() -> STORE:
    """Objects by path; a status set in advance is what the controllers will have done."""
    return {}


@pytest.fixture
def cluster(store: STORE) -> Iterator[FakeServer]:
    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "PATCH":
            store[path] = {
                **body,
                "metadata": {**body["metadata"], "uid": "u-1", "generation": 1},
                **store.get(f"status {path}", {}),
            }
        if method == "DELETE" and path in store and store.get("undeletable") != path:
            return 200, store.pop(path)
        found = store.get(path)
        return (200, found) if found else (404, {"message": f"{path} not found"})

    with fake_server(answer) as server:
        yield server


def kubeconfig(server: str) -> str:
    return (
        f"{{current-context: c, contexts: [{{name: c, context: {{cluster: k, user: u}}}}], "
        f"clusters: [{{name: k, cluster: {{server: '{server}'}}}}], "
        f"users: [{{name: u, user: {{token: t}}}}]}}"
    )


def on(server: FakeServer | str, **changes: Any) -> Any:
    address = server if isinstance(server, str) else server.url
    return replace(call(kubeconfig=kubeconfig(address), **changes), timeout=1.0)


def checked(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return KINDS[kind].check(call(), {"metadata": {"name": name}, **fields}, {})


DAEMONSET = {
    "spec": {
        "selector": {"matchLabels": {"app": "agent"}},
        "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": []}},
    }
}
PATH = "/apis/apps/v1/namespaces/default/daemonsets/agent"


def test_an_object_is_applied_read_and_deleted(cluster: FakeServer, store: STORE) -> None:
    inputs = checked("ConfigMap", "settings", data={"a": "1"})
    made, outputs = KINDS["ConfigMap"].create(on(cluster), inputs)
    path = "/api/v1/namespaces/default/configmaps/settings"
    assert (made, outputs["metadata"]["uid"], cluster.methods()) == (
        "default/settings",
        "u-1",
        [f"PATCH {path}"],
    )

    store[path]["data"] = {"a": "by hand", "b": "added by another"}
    found = KINDS["ConfigMap"].read(on(cluster), made, inputs, outputs)
    assert found is not None
    assert found[0]["data"] == {"a": "by hand"}

    KINDS["ConfigMap"].delete(on(cluster), made, inputs, outputs)
    assert KINDS["ConfigMap"].read(on(cluster), made, inputs, outputs) is None
    KINDS["ConfigMap"].delete(on(cluster), made, inputs, outputs)


def test_an_object_outside_namespaces_has_its_name_as_id(cluster: FakeServer) -> None:
    made, _ = KINDS["ClusterRole"].create(on(cluster), checked("ClusterRole", "reader", rules=[]))
    assert (made, cluster.methods()) == (
        "reader",
        ["PATCH /apis/rbac.authorization.k8s.io/v1/clusterroles/reader"],
    )


def test_a_rollout_is_awaited(cluster: FakeServer, store: STORE) -> None:
    done = {
        "observedGeneration": 1,
        "desiredNumberScheduled": 2,
        "updatedNumberScheduled": 2,
        "numberAvailable": 2,
    }
    store[f"status {PATH}"] = {"status": done}
    assert (
        KINDS["DaemonSet"].create(on(cluster), checked("DaemonSet", "agent", **DAEMONSET))[0]
        == "default/agent"
    )


def test_a_rollout_that_hangs_names_pods_reasons_and_events(cluster: FakeServer, store: STORE) -> None:
    store[f"status {PATH}"] = {
        "status": {"observedGeneration": 1, "desiredNumberScheduled": 2, "numberAvailable": 1}
    }
    waits = {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    pod = {
        "metadata": {"name": "agent-x"},
        "spec": {"nodeName": "gpu-a"},
        "status": {"containerStatuses": [waits]},
    }
    store["/api/v1/namespaces/default/pods"] = {"items": [pod]}
    event = {
        "involvedObject": {"name": "agent-x"},
        "type": "Warning",
        "reason": "Failed",
        "message": "pull refused",
    }
    store["/api/v1/namespaces/default/events"] = {"items": [event]}
    with pytest.raises(InitFailed) as caught:
        KINDS["DaemonSet"].create(on(cluster), checked("DaemonSet", "agent", **DAEMONSET))
    assert str(caught.value).splitlines() == [
        "DaemonSet agent: not rolled out after 1 s: 0 of 2 pods are ready",
        "  pod agent-x on gpu-a: container main: ImagePullBackOff no such image",
        "  event on agent-x: Failed: pull refused",
    ]
    assert caught.value.resource_id == "default/agent"


def test_skip_await_skips_it(cluster: FakeServer) -> None:
    inputs = checked("DaemonSet", "agent", **DAEMONSET)
    inputs["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    KINDS["DaemonSet"].create(on(cluster), inputs)
    assert cluster.methods() == [f"PATCH {PATH}"]


@pytest.mark.parametrize(
    ("status", "missing"),
    [
        ({}, "the controller has not seen it yet"),
        ({"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 2}, "1 of 2 pods are ready"),
        (
            {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 3},
            "1 old pods are still there",
        ),
        ({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}, ""),
    ],
)
def test_a_deployment_is_rolled_out_when_its_old_pods_are_gone(status: dict[str, int], missing: str) -> None:
    live = {"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status}
    assert waiting._deployment_missing(live) == missing


def test_a_delete_that_hangs_names_the_finalizers(cluster: FakeServer, store: STORE) -> None:
    path = "/api/v1/namespaces/stuck"
    stuck = {"metadata": {"name": "stuck"}, "spec": {"finalizers": ["kubernetes"]}}
    store[path] = stuck
    store["undeletable"] = path
    with pytest.raises(
        PluginError, match="Namespace stuck: still there after 1 s, it waits for its finalizers: kubernetes"
    ):
        KINDS["Namespace"].delete(on(cluster), "stuck", {}, {})


def test_a_refusal_is_the_api_servers_own_sentence() -> None:
    with (
        fake_server(lambda *_: (422, {"message": "Namespace is invalid: metadata.name"})) as server,
        pytest.raises(PluginError, match=r"^Namespace is invalid: metadata\.name$"),
    ):
        KINDS["Namespace"].create(on(server), checked("Namespace", "n"))


def test_an_unreachable_cluster_is_named_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TRIES", 2)
    monkeypatch.setattr(client, "PAUSE_SECONDS", 0.01)
    nobody = "http://127.0.0.1:9"
    with pytest.raises(PluginError) as caught:
        KINDS["Namespace"].delete(on(nobody), "n", {}, {})
    assert f"the cluster at {nobody} does not answer (2 tries)" in str(caught.value)
    assert "Namespace n was not deleted. If the cluster is gone for good" in str(caught.value)
    KINDS["Namespace"].delete(on(nobody, deleteUnreachable="true"), "n", {}, {})


def test_no_kubeconfig_is_not_somebody_elses() -> None:
    with pytest.raises(PluginError, match=r"never uses ~/\.kube/config"):
        KINDS["Namespace"].create(call(), checked("Namespace", "n"))


def test_what_the_cluster_adds_or_rewrites_is_no_drift() -> None:
    wanted = {
        "metadata": {"name": "a", "labels": {}},
        "spec": {"cpu": "1000m", "memory": "1024Mi", "hostPID": False, "list": [{"name": "x"}]},
        "stringData": {"token": "abc"},
    }
    live = {
        "metadata": {"name": "a", "uid": "u", "managedFields": []},
        "spec": {
            "cpu": "1",
            "memory": "1Gi",
            "list": [{"name": "x", "protocol": "TCP"}],
            "dnsPolicy": "ClusterFirst",
        },
        "data": {"token": base64.b64encode(b"abc").decode()},
        "status": {"phase": "fine"},
    }
    assert managed_part(live, wanted) == wanted


def test_a_value_changed_by_hand_is_drift() -> None:
    wanted = {"spec": {"cpu": "1", "list": ["a"]}, "stringData": {"token": "abc"}}
    live = {"spec": {"cpu": "2", "list": ["a", "b"]}, "data": {"token": base64.b64encode(b"other").decode()}}
    assert managed_part(live, wanted) == {
        "spec": {"cpu": "2", "list": ["a", "b"]},
        "stringData": {"token": "other"},
    }
