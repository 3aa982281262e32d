"""Joining: what is declared, what is approved, what is waited for, and what an error says."""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from typing import Any

import pytest

from ops import v1
from ops.errors import OpsError
from ops.node import JOINED_WITH
from tests.unit.ops_server import FakeServer, Json, certificate_request, ready, serving

NODE = "/api/v1/nodes/gpu-a"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SECRET = "/api/v1/namespaces/kube-system/secrets/bootstrap-token-abc123"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/gpu-a"
TAINT = {"key": "tailspan.dev/gpu", "value": "H100", "effect": "NoSchedule"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setattr("ops.wait.OFTEN", 0.02)
    with serving() as fake:
        yield fake


def stdin(server: FakeServer, **changed: Any) -> Json:
    node = {
        "name": "gpu-a",
        "pod_cidr": "10.129.10.0/24",
        "provider_id": "tailspan://gpu/gpu-a",
        "labels": {"topology.kubernetes.io/zone": "gpu"},
        "taints": [TAINT],
    }
    token = changed.pop("token", "abc123.0123456789abcdef")
    timeout = changed.pop("ready_timeout", 10)
    document = {"kubeconfig": server.kubeconfig, "node": node | changed, "token": token, "device": None}
    return document | {"ready_timeout": timeout}


def kubelet(server: FakeServer, method: str, path: str, _body: Json | None) -> tuple[int, Json] | None:
    """Asks for a certificate as soon as its token is valid and reports Ready once it has one."""
    requested, token_id = f"{CSRS}/csr-1", path.rpartition("-")[2]
    if method == "POST" and path == "/api/v1/namespaces/kube-system/secrets":
        assert _body is not None
        token_id = base64.b64decode(_body["data"]["token-id"]).decode()
        server.objects[requested] = certificate_request("csr-1", "gpu-a", token_id)
    if method == "GET" and path == NODE and server.objects.get(requested, {}).get("status"):
        server.objects[NODE]["status"] = ready(True, "t1")
    return None


def test_a_machine_joins_with_everything_the_stack_says(server: FakeServer) -> None:
    server.hook = kubelet
    result = v1.join(stdin(server))
    node = server.objects[NODE]
    assert result == {
        "node": "gpu-a",
        "pod_cidr": "10.129.10.0/24",
        "provider_id": "tailspan://gpu/gpu-a",
    }
    assert node["spec"]["podCIDR"] == "10.129.10.0/24"
    assert node["spec"]["podCIDRs"] == ["10.129.10.0/24"]
    assert node["spec"]["taints"] == [TAINT]
    assert node["metadata"]["labels"] == {"topology.kubernetes.io/zone": "gpu"}
    assert node["metadata"]["annotations"][JOINED_WITH] == "abc123"
    assert server.objects[f"{CSRS}/csr-1"]["status"]["conditions"][0]["type"] == "Approved"


def test_a_declared_node_has_room_for_static_pods_before_its_kubelet_reports(server: FakeServer) -> None:
    """A kubelet that finds its Node without would refuse them for good."""
    seen: list[Json] = []

    def hook(fake: FakeServer, method: str, path: str, body: Json | None) -> tuple[int, Json] | None:
        if method == "POST" and path == "/api/v1/nodes":
            assert body is not None
            seen.append(copy.deepcopy(body["status"]))
        return kubelet(fake, method, path, body)

    server.hook = hook
    v1.join(stdin(server))
    (status,) = seen
    assert status["capacity"] == status["allocatable"]
    assert set(status["allocatable"]) == {"cpu", "memory", "ephemeral-storage", "pods"}
    assert int(status["allocatable"]["pods"]) > 0
    # The controller writes a taint for a state that is not known, and none for one that nobody mentions.
    (ready,) = status["conditions"]
    assert (ready["type"], ready["status"]) == ("Ready", "Unknown")


@pytest.mark.parametrize("reported", [{}, {"status": {}}, {"status": {"allocatable": {"pods": "30"}}}])
def test_a_node_that_was_declared_without_gets_it_and_one_that_reported_keeps_its_own(
    server: FakeServer, reported: Json
) -> None:
    server.objects[NODE] = {"metadata": {"name": "gpu-a", "resourceVersion": "1"}, "spec": {}}
    server.objects[NODE] |= copy.deepcopy(reported)
    server.hook = kubelet
    v1.join(stdin(server))
    patches = [entry for entry in server.writes() if entry == ("PATCH", f"{NODE}/status")]
    assert len(patches) == (0 if reported.get("status") else 1)


def test_the_token_lives_one_hour_at_most_and_goes_when_the_node_is_ready(server: FakeServer) -> None:
    server.hook = kubelet
    v1.join(stdin(server, ready_timeout=300))
    (secret,) = (body for body in server.bodies if body.get("type") == "bootstrap.kubernetes.io/token")
    data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    assert data["auth-extra-groups"] == "system:bootstrappers:tailspan"
    assert "usage-bootstrap-signing" not in data
    assert data["expiration"].endswith("Z")
    assert SECRET not in server.objects


def test_a_second_join_is_one_get_and_no_write(server: FakeServer) -> None:
    server.hook = kubelet
    first = v1.join(stdin(server))
    server.log.clear()
    assert v1.join(stdin(server)) == first
    assert server.log == [("GET", NODE)]


def test_labels_and_taints_that_leave_the_stack_leave_the_node_and_others_stay(server: FakeServer) -> None:
    server.hook = kubelet
    v1.join(stdin(server, labels={"a": "1", "b": "2"}))
    other = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    server.objects[NODE]["metadata"]["labels"]["kubernetes.io/os"] = "linux"
    server.objects[NODE]["spec"]["taints"].append(other)
    v1.VERBS["update"](stdin(server, labels={"b": "3"}, taints=[]))
    assert server.objects[NODE]["metadata"]["labels"] == {"b": "3", "kubernetes.io/os": "linux"}
    assert server.objects[NODE]["spec"]["taints"] == [other]


def test_another_pod_cidr_is_refused_with_the_way_out(server: FakeServer) -> None:
    server.hook = kubelet
    v1.join(stdin(server))
    with pytest.raises(OpsError, match=r"gpu-a.*podCIDR 10\.129\.10\.0/24.*drain.*kubectl delete node"):
        v1.join(stdin(server, pod_cidr="10.129.11.0/24"))


def test_a_node_that_kubeadm_made_gets_its_pod_cidr_without_a_certificate(server: FakeServer) -> None:
    metadata = {"name": "gpu-a", "resourceVersion": "7", "labels": {"x": "y"}}
    server.objects[NODE] = {"metadata": metadata, "spec": {}, "status": ready(True)}
    v1.join(stdin(server))
    assert server.objects[NODE]["spec"]["podCIDR"] == "10.129.10.0/24"
    assert all(method == "PATCH" for method, _ in server.writes())


def test_a_control_plane_joins_without_a_token(server: FakeServer) -> None:
    metadata = {"name": "gpu-a", "resourceVersion": "7"}
    server.objects[NODE] = {"metadata": metadata, "spec": {}, "status": ready(False)}
    looks = 0

    def starting(fake: FakeServer, method: str, path: str, _body: Json | None) -> tuple[int, Json] | None:
        nonlocal looks
        looks += (method, path) == ("GET", NODE)
        fake.objects[NODE]["status"] = ready(looks > 3)
        return None

    server.hook = starting
    v1.join(stdin(server, token=None))
    assert all(path == NODE for _, path in server.writes())
    server.log.clear()
    v1.join(stdin(server, token=None))
    assert server.log == [("GET", NODE)]


def test_foreign_and_wrong_requests_stay_unapproved_and_are_named(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.objects[f"{CSRS}/csr-thief"] = certificate_request("csr-thief", "gpu-b", "abc123")
    server.objects[f"{CSRS}/csr-admin"] = certificate_request(
        "csr-admin", "gpu-a", "abc123", "system:masters"
    )
    server.objects[f"{CSRS}/csr-other"] = certificate_request("csr-other", "gpu-a", "zzzzzz")
    with pytest.raises(OpsError) as failure:
        v1.join(stdin(server, ready_timeout=0.2))
    assert not any(path.endswith("/approval") for _, path in server.log)
    message = str(failure.value)
    assert "node gpu-a: step 'wait for the machine's certificate request'" in message
    assert "csr-thief refused" in message
    assert "system:masters" in message
    assert "never reported" in message
    assert "csr-other" not in message
    assert "csr-thief" in capsys.readouterr().err
    assert SECRET not in server.objects  # also after a failure


def test_a_machine_that_got_its_certificate_but_is_never_ready_is_described(server: FakeServer) -> None:
    def unready(fake: FakeServer, method: str, path: str, body: Json | None) -> None:
        kubelet(fake, method, path, body)
        if NODE in fake.objects and fake.objects[NODE].get("status"):
            fake.objects[NODE]["status"] = ready(False)

    server.hook = unready
    with pytest.raises(
        OpsError, match=r"'wait until Ready': not done within 0 s; Ready=Unknown \(Why: m\).*csr-1 appr"
    ):
        v1.join(stdin(server, ready_timeout=0.4))


def test_a_replaced_machine_gets_a_certificate_although_its_old_node_still_looks_ready(
    server: FakeServer,
) -> None:
    server.hook = kubelet
    v1.join(stdin(server))
    del server.objects[f"{CSRS}/csr-1"]
    server.objects[NODE]["status"] = ready(True, "t0")
    server.objects[LEASE] = {"spec": {"renewTime": "old"}}
    v1.join(stdin(server, token="new123.0123456789abcdef"))
    assert server.objects[f"{CSRS}/csr-1"]["spec"]["username"] == "system:bootstrap:new123"
    assert server.objects[f"{CSRS}/csr-1"]["status"]["conditions"]
    assert server.objects[NODE]["metadata"]["annotations"][JOINED_WITH] == "new123"


def test_a_new_token_alone_needs_only_a_sign_of_life(server: FakeServer) -> None:
    server.hook = kubelet
    v1.join(stdin(server))
    reads = 0

    def renewing(_fake: FakeServer, method: str, path: str, _body: Json | None) -> tuple[int, Json] | None:
        nonlocal reads
        reads += path == LEASE
        return (200, {"spec": {"renewTime": str(reads // 3)}}) if path == LEASE else None

    server.hook = renewing
    v1.join(stdin(server, token="new123.0123456789abcdef"))
    assert reads > 2
    assert server.objects[NODE]["metadata"]["annotations"][JOINED_WITH] == "new123"


def test_an_api_server_that_starts_late_is_waited_for(server: FakeServer) -> None:
    failures = [503, 403, 500]

    def late(fake: FakeServer, method: str, path: str, body: Json | None) -> tuple[int, Json] | None:
        if failures:
            return failures.pop(), {"message": "starting"}
        return kubelet(fake, method, path, body)

    server.hook = late
    assert v1.join(stdin(server))["node"] == "gpu-a"


def test_no_api_server_at_all_is_a_bounded_wait(server: FakeServer) -> None:
    document = stdin(server, ready_timeout=0.4)
    document["kubeconfig"] = document["kubeconfig"].replace(str(server.port), "1")
    with pytest.raises(OpsError, match=r"node gpu-a: step 'reach the API server .*refused"):
        v1.join(document)


def test_a_conflict_while_declaring_is_tried_again(server: FakeServer) -> None:
    conflicts = [409, 409]

    def conflict(fake: FakeServer, method: str, path: str, body: Json | None) -> tuple[int, Json] | None:
        if method == "PATCH" and path == NODE and conflicts:
            return conflicts.pop(), {"message": "the object has been modified"}
        return kubelet(fake, method, path, body)

    server.objects[NODE] = {
        "metadata": {"name": "gpu-a", "resourceVersion": "1"},
        "spec": {},
        "status": ready(True),
    }
    server.hook = conflict
    v1.join(stdin(server))
    assert server.objects[NODE]["spec"]["podCIDR"]


@pytest.mark.parametrize("token", ["abc123", "ABC123.0123456789abcdef", "abc123.short"])
def test_a_malformed_token_is_refused_and_not_shown(server: FakeServer, token: str) -> None:
    with pytest.raises(OpsError) as failure:
        v1.join(stdin(server, token=token))
    assert token not in str(failure.value)


def test_a_new_generation_takes_the_former_devices_away_once_it_is_ready(server: FakeServer) -> None:
    former = {"id": "7", "name": "gpu-a", "tags": ["tag:tailspan-gpu"]}
    current = {"id": "8", "name": "gpu-a-g2", "tags": ["tag:tailspan-gpu"]}

    def both(fake: FakeServer, method: str, path: str, body: Json | None) -> tuple[int, Json] | None:
        if (method, path) == ("GET", "/api/v1/node"):
            return 200, {"nodes": [former, current]}
        return kubelet(fake, method, path, body)

    server.hook = both
    tailnet = {"kind": "headscale", "url": server.url, "api_key": "k"}
    v1.join(stdin(server) | {"device": {"tailnet": tailnet, "hostname": "gpu-a-g2", "replaces": ["gpu-a"]}})
    deletes = [path for method, path in server.log if method == "DELETE"]
    assert deletes == [SECRET, "/api/v1/node/7"]


ACCOUNTS = "/api/v1/namespaces/tailspan-admission/serviceaccounts"
ACCOUNT = f"{ACCOUNTS}/gpu-a"
JWT = "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl-_"
LOGIN = {"ssh_host": "203.0.113.9", "ssh_port": 22, "user": "ubuntu", "host_key": "ssh-ed25519 AAAA"}


def by_account(server: FakeServer, **changed: Any) -> Json:
    admission = {
        "namespace": "tailspan-admission",
        "login": LOGIN,
        "command": "sudo -n /bin/bash -s -- admit",
        "script": "token: @BOOTSTRAP_TOKEN@\n",
    }
    return stdin(server, **changed) | {"admission": admission}


class Cloud:
    """An API server that knows no bootstrap tokens, and a machine that asks with whatever token it was brought."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> None:
        self.sent: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = [(f"{ACCOUNT}", "uid-1")]
        self._server = server
        server.hook = self.answer
        monkeypatch.setattr("ops.admission.run_script", self.machine)

    def answer(
        self, server: FakeServer, method: str, path: str, body: Json | None
    ) -> tuple[int, Json] | None:
        if method == "POST" and path == ACCOUNTS:
            assert body is not None
            body["metadata"]["uid"] = "uid-1"
        if method == "POST" and path == f"{ACCOUNT}/token":
            return 201, {"status": {"token": JWT}}
        if method == "GET" and path == NODE and server.objects.get(f"{CSRS}/csr-1", {}).get("status"):
            server.objects[NODE]["status"] = ready(True, "t1")
        return None

    def machine(self, login: Any, command: str, script: str, **options: Any) -> None:
        self.sent.append({"login": login, "command": command, "script": script, **options})
        for number, (account, uid) in enumerate(self.requests, 1):
            name = account.rpartition("/")[2]
            request = certificate_request(f"csr-{number}", "gpu-a", "none")
            request["spec"] |= {"username": f"system:serviceaccount:tailspan-admission:{name}", "uid": uid}
            self._server.objects[f"{CSRS}/csr-{number}"] = request


def test_without_bootstrap_tokens_a_machine_asks_as_a_service_account(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(monkeypatch, server)
    v1.join(by_account(server, ready_timeout=300))
    (sent,) = cloud.sent
    assert sent["script"] == f"token: {JWT}\n"
    assert sent["command"] == "sudo -n /bin/bash -s -- admit"
    assert (sent["login"].host, sent["login"].user) == ("203.0.113.9", "ubuntu")
    assert server.objects[f"{CSRS}/csr-1"]["status"]["conditions"][0]["type"] == "Approved"
    assert server.objects[NODE]["metadata"]["annotations"][JOINED_WITH] == "abc123"
    (request,) = (body for body in server.bodies if body.get("kind") == "TokenRequest")
    assert request["spec"]["expirationSeconds"] <= 3600
    # No bootstrap token was offered, and the account is gone with all of its tokens.
    assert ("POST", "/api/v1/namespaces/kube-system/secrets") not in server.log
    assert ACCOUNT not in server.objects


def test_a_token_is_never_asked_for_less_time_than_the_api_server_gives(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cloud(monkeypatch, server)
    v1.join(by_account(server, ready_timeout=10))
    (request,) = (body for body in server.bodies if body.get("kind") == "TokenRequest")
    assert request["spec"]["expirationSeconds"] == 600


def test_an_account_of_another_machine_or_of_another_day_is_not_approved(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(monkeypatch, server)
    cloud.requests = [(f"{ACCOUNTS}/gpu-b", "uid-1"), (ACCOUNT, "uid-0")]
    with pytest.raises(OpsError, match="certificate request"):
        v1.join(by_account(server, ready_timeout=1))
    assert not [path for path, item in server.objects.items() if path.startswith(CSRS) and "status" in item]
    assert ACCOUNT not in server.objects


def test_a_machine_that_is_a_node_already_gets_no_token(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(monkeypatch, server)
    v1.join(by_account(server))
    server.log.clear()
    v1.VERBS["update"](by_account(server))
    assert len(cloud.sent) == 1
    assert server.log == [("GET", NODE)]


def test_a_machine_that_cannot_be_reached_leaves_no_account_behind(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cloud(monkeypatch, server)

    def refuse(*_: Any, **options: Any) -> None:
        raise OpsError(f"machine gpu-a: step '{options['step']}': exit status 1")

    monkeypatch.setattr("ops.admission.run_script", refuse)
    with pytest.raises(OpsError, match="step 'admission'"):
        v1.join(by_account(server))
    assert ACCOUNT not in server.objects
