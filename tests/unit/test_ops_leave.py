"""Leaving: drain within budgets, delete the Node and the tailnet device, and never the control plane."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ops import v1
from ops.device import Device, is_machine
from ops.drain import is_evictable
from ops.errors import OpsError
from tests.unit.ops_server import FakeServer, Json, ready, serving

NODE = "/api/v1/nodes/gpu-a"
OURS = ["tag:tailspan-gpu"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setattr("ops.wait.OFTEN", 0.02)
    with serving() as fake:
        labels = {"topology.kubernetes.io/zone": "gpu"}
        fake.objects[NODE] = {
            "metadata": {"name": "gpu-a", "labels": labels},
            "spec": {},
            "status": ready(True),
        }
        yield fake


def stdin(server: FakeServer, **changed: Any) -> Json:
    node = {"name": "gpu-a", "pod_cidr": "10.129.10.0/24", "provider_id": "p", "labels": {}, "taints": []}
    document = {
        "kubeconfig": server.kubeconfig,
        "node": node,
        "token": "abc123.0123456789abcdef",
        "device": None,
    }
    return document | {"ready_timeout": 300, "drain_timeout": 0.3, "api_timeout": 0.3} | changed


def pod(server: FakeServer, name: str, owner: str = "ReplicaSet", **annotations: str) -> str:
    path = f"/api/v1/namespaces/jobs/pods/{name}"
    metadata = {"name": name, "namespace": "jobs", "uid": f"uid-{name}", "annotations": annotations}
    owners = [{"kind": owner, "controller": True}]
    server.objects[path] = {
        "metadata": metadata | {"ownerReferences": owners},
        "spec": {"nodeName": "gpu-a"},
        "status": {"phase": "Running"},
    }
    return path


def test_pods_are_evicted_and_the_node_is_deleted(server: FakeServer) -> None:
    training, agent = pod(server, "training"), pod(server, "agent", "DaemonSet")
    mirror = pod(server, "connector", "Node", **{"kubernetes.io/config.mirror": "x"})
    assert v1.leave(stdin(server)) == {"node": "gpu-a", "deleted": True, "devices": []}
    assert server.writes() == [("PATCH", NODE), ("POST", f"{training}/eviction"), ("DELETE", NODE)]
    assert {agent, mirror} <= set(server.objects)
    eviction = next(body for body in server.bodies if body.get("kind") == "Eviction")
    assert eviction["deleteOptions"] == {"preconditions": {"uid": "uid-training"}}


def test_leaving_twice_is_fine(server: FakeServer) -> None:
    v1.leave(stdin(server))
    assert v1.leave(stdin(server)) == {"node": "gpu-a", "deleted": False, "devices": []}


def test_a_disruption_budget_is_respected_for_as_long_as_the_drain_may_take(server: FakeServer) -> None:
    path, refusals = pod(server, "training"), 2

    def budget(_fake: FakeServer, method: str, target: str, _body: Json | None) -> tuple[int, Json] | None:
        nonlocal refusals
        if method == "POST" and target.endswith("/eviction") and refusals:
            refusals -= 1
            return 429, {"message": "Cannot evict pod as it would violate the pod's disruption budget."}
        return None

    server.hook = budget
    assert v1.leave(stdin(server, drain_timeout=5))["deleted"]
    assert path not in server.objects


def test_a_drain_that_does_not_end_names_the_pod_the_reason_and_the_way_out(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod(server, "training")

    def budget(_fake: FakeServer, _method: str, target: str, _body: Json | None) -> tuple[int, Json] | None:
        return (429, {"message": "violates its budget"}) if target.endswith("/eviction") else None

    server.hook = budget
    message = r"gpu-a: step 'drain': 1 pods .*jobs/training \(violates its budget\).*TAILSPAN_DRAIN=skip"
    with pytest.raises(OpsError, match=message):
        v1.leave(stdin(server))
    assert NODE in server.objects
    monkeypatch.setenv("TAILSPAN_DRAIN", "skip")
    assert v1.leave(stdin(server))["deleted"]


def test_a_machine_that_is_gone_is_not_drained(server: FakeServer) -> None:
    pod(server, "training")
    server.objects[NODE]["status"] = ready(False)
    assert v1.leave(stdin(server))["deleted"]
    assert not any(path.endswith("/eviction") for _, path in server.log)


def test_a_machine_that_is_cut_off_while_it_drains_is_let_go(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    stuck = pod(server, "training")
    looks = 0

    def cut_off(fake: FakeServer, method: str, path: str, _body: Json | None) -> tuple[int, Json] | None:
        nonlocal looks
        looks += (method, path) == ("GET", NODE)
        if NODE in fake.objects:
            fake.objects[NODE]["status"] = ready(looks < 3)
        if path.endswith("/eviction"):
            fake.objects[stuck]["metadata"]["deletionTimestamp"] = "now"
            return 201, {}
        return None

    server.hook = cut_off
    assert v1.leave(stdin(server, drain_timeout=60))["deleted"]
    assert "not drained, Ready=Unknown" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["node", "stdin"])
def test_the_control_plane_never_leaves(server: FakeServer, where: str) -> None:
    document = stdin(server)
    labels = server.objects[NODE]["metadata"]["labels"] if where == "node" else document["node"]["labels"]
    labels["node-role.kubernetes.io/control-plane"] = ""
    with pytest.raises(OpsError, match="gpu-a: it is the control plane"):
        v1.leave(document)
    assert server.writes() == []


def test_an_unreachable_api_server_is_a_bounded_wait(server: FakeServer) -> None:
    document = stdin(server)
    document["kubeconfig"] = document["kubeconfig"].replace(str(server.port), "1")
    with pytest.raises(OpsError, match=r"node gpu-a: step 'reach the API server .*no answer within"):
        v1.leave(document)


def test_finished_pods_need_no_eviction() -> None:
    assert not is_evictable({"metadata": {}, "status": {"phase": "Succeeded"}})
    assert is_evictable({"metadata": {}, "status": {"phase": "Running"}})


@pytest.mark.parametrize(
    ("hostname", "tags", "goes"),
    [
        ("gpu-a", OURS, True),
        ("GPU-A", ["tag:other", *OURS], True),
        ("gpu-a-1", OURS, False),
        ("gpu-ab", OURS, False),
        ("gpu-a", [], False),
        ("gpu-a", ["tag:other"], False),
    ],
)
def test_only_a_tagged_device_with_exactly_that_host_name_goes(
    hostname: str, tags: list[str], goes: bool
) -> None:
    assert is_machine(Device(id="1", hostname=hostname, tags=tuple(tags)), "gpu-a") is goes


def test_devices_of_headscale_are_deleted_with_the_node(server: FakeServer) -> None:
    nodes = [
        {"id": "7", "name": "gpu-a", "givenName": "gpu-a", "tags": OURS},
        {"id": "8", "name": "gpu-a", "givenName": "gpu-a-1", "tags": OURS},
        {"id": "9", "name": "gpu-a-1", "givenName": "gpu-a", "tags": OURS},
        {"id": "10", "name": "gpu-a", "givenName": "laptop", "tags": []},
    ]

    def headscale(_fake: FakeServer, method: str, path: str, _body: Json | None) -> tuple[int, Json] | None:
        if path == "/api/v1/node":
            return 200, {"nodes": nodes}
        return (404, {"message": "node not found"}) if path == "/api/v1/node/8" else None

    server.hook = headscale
    server.objects["/api/v1/node/7"] = {}
    tailnet = {"kind": "headscale", "url": server.url, "api_key": "hskey", "ca": None, "tailnet": None}
    result = v1.leave(stdin(server, device={"tailnet": tailnet, "hostname": "gpu-a"}))
    assert result["devices"] == ["7", "8"]
    assert [path for method, path in server.log if method == "DELETE"][1:] == [
        "/api/v1/node/7",
        "/api/v1/node/8",
    ]


def test_devices_of_tailscale_are_found_by_host_name_not_by_machine_name(server: FakeServer) -> None:
    devices = [
        {"id": "1", "nodeId": "nA", "hostname": "gpu-a", "name": "gpu-a-1.example.ts.net", "tags": OURS},
        {"id": "2", "nodeId": "nB", "hostname": "gpu-b", "name": "gpu-a.example.ts.net", "tags": OURS},
    ]

    def tailscale(_fake: FakeServer, method: str, path: str, _body: Json | None) -> tuple[int, Json] | None:
        return (200, {"devices": devices}) if path == "/api/v2/tailnet/example.com/devices" else None

    server.hook = tailscale
    server.objects["/api/v2/device/nA"] = {}
    tailnet = {"kind": "tailscale", "url": server.url, "api_key": "k", "tailnet": "example.com"}
    assert v1.device_delete({"tailnet": tailnet, "hostname": "gpu-a"}) == {"devices": ["nA"]}
    assert server.writes() == [("DELETE", "/api/v2/device/nA")]


def test_of_a_control_planes_join_the_device_can_be_deleted_alone(server: FakeServer) -> None:
    node = {"id": "7", "name": "gpu-a", "tags": OURS}
    server.hook = lambda _fake, _method, path, _body: (
        (200, {"nodes": [node]}) if path == "/api/v1/node" else None
    )
    server.objects["/api/v1/node/7"] = {}
    tailnet = {"kind": "headscale", "url": server.url, "api_key": "k"}
    joined = stdin(server, device={"tailnet": tailnet, "hostname": "gpu-a", "replaces": []})
    assert v1.device_delete(joined) == {"devices": ["7"]}
    assert server.writes() == [("DELETE", "/api/v1/node/7")]


def test_a_refused_api_key_is_named_and_not_shown(server: FakeServer) -> None:
    server.hook = lambda *_: (401, {"message": "Unauthorized"})
    tailnet = {"kind": "headscale", "url": server.url, "api_key": "hskey-secret"}
    with pytest.raises(OpsError, match=r"tailnet device gpu-a: list devices: .*401: Unauthorized") as failure:
        v1.device_delete({"tailnet": tailnet, "hostname": "gpu-a"})
    assert "hskey-secret" not in str(failure.value)
