"""A node group's machines join and leave side by side: real SSH, a real agent, and an API server that remembers."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops import v1, wait
from ops.errors import OpsError
from ops.group import GIVEN, GROUP, REGION
from tests.engine.ssh_server import Server, ssh_server
from tests.unit.ops_server import FakeServer, Json, certificate_request, ready, serving

NODES = "/api/v1/nodes"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
TOKENS = "/api/v1/namespaces/kube-system/secrets"
LABELS = {REGION: "hub", GROUP: "cpu"}
NAMES = ("hub-cpu-1", "hub-cpu-2", "hub-cpu-3")
CLOSED = 9  # the discard port: nobody listens


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One SSH server stands for every machine; the operator's key is in an agent, as in real life."""
    socket, key = tmp_path / "agent.sock", tmp_path / "key"
    with ssh_server() as server:
        key.touch(mode=0o600)
        key.write_text(server.client_key)
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            while subprocess.run(["ssh-add", "-q", key], capture_output=True, check=False).returncode:
                assert agent.poll() is None
                time.sleep(0.02)
            yield server
        finally:
            agent.terminate()
            agent.wait()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setattr("ops.wait.OFTEN", 0.02)
    monkeypatch.setattr("ops.group.PATIENCE_NEW", 0.4)
    with serving() as fake:
        fake.hook = kubelets
        yield fake


def kubelets(server: FakeServer, method: str, path: str, body: Json | None) -> tuple[int, Json] | None:
    """Each asks for its certificate as soon as its token is offered, and is Ready once it has one."""
    if method == "POST" and path == TOKENS:
        assert body is not None
        data = {key: base64.b64decode(value).decode() for key, value in body["data"].items()}
        node = data["description"].removeprefix("joins ")
        server.objects[f"{CSRS}/{node}"] = certificate_request(node, node, data["token-id"])
    if method == "GET" and path.startswith(f"{NODES}/"):
        node = path.rpartition("/")[2]
        if path in server.objects and server.objects.get(f"{CSRS}/{node}", {}).get("status"):
            server.objects[path]["status"] = ready(True)
    return None


def machine(number: int, server: Server, **host: Any) -> Json:
    name, token = NAMES[number], f"token{number}.0123456789abcdef"
    return {
        "pod_cidr": f"10.128.4{number}.0/24",
        "provider_id": f"lab://hub/{name}",
        "token": token,
        "values": {"NODE_NAME": name, "BOOTSTRAP_TOKEN": token},
        "host": {"ssh_host": "127.0.0.1", "ssh_port": server.port, "host_key": server.host_key} | host,
    }


def stdin(cluster: FakeServer, members: dict[str, Json], notes: Path, **changes: Any) -> Json:
    """Its script notes on which machine it runs, and what it knows."""
    script = f'echo "$NODE_NAME $BOOTSTRAP_TOKEN" >>{notes}\n'
    return {
        "kubeconfig": cluster.kubeconfig,
        "group": {"region": "hub", "name": "cpu"},
        "parallel": 3,
        "script": script,
        "login": {"user": "root", "command": "bash -s"},
        "labels": LABELS,
        "machines": members,
        "ready_timeout": 10,
    } | changes


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def three(server: Server) -> dict[str, Json]:
    return {name: machine(number, server) for number, name in enumerate(NAMES)}


def noted(notes: Path) -> list[str]:
    lines = sorted(notes.read_text().splitlines()) if notes.exists() else []
    notes.unlink(missing_ok=True)
    return lines


def is_ready(cluster: FakeServer, name: str) -> bool:
    node = cluster.objects.get(f"{NODES}/{name}", {})
    return bool(node.get("status") == ready(True))


def test_every_machine_runs_the_one_script_with_its_own_values(
    cluster: FakeServer, machines: Server, notes: Path
) -> None:
    assert v1.group_join(stdin(cluster, three(machines), notes)) == {"nodes": list(NAMES)}
    assert noted(notes) == [f"{name} token{i}.0123456789abcdef" for i, name in enumerate(NAMES)]
    for number, name in enumerate(NAMES):
        node = cluster.objects[f"{NODES}/{name}"]
        assert is_ready(cluster, name)
        assert node["spec"]["podCIDR"] == f"10.128.4{number}.0/24"
        assert node["metadata"]["labels"] == LABELS
    assert not [path for path in cluster.objects if path.startswith(TOKENS)]


def test_a_dead_machine_is_named_and_holds_up_nobody(
    cluster: FakeServer, machines: Server, notes: Path
) -> None:
    members = three(machines)
    members["hub-cpu-2"]["host"]["ssh_port"] = CLOSED
    with pytest.raises(OpsError) as failure:
        v1.group_join(stdin(cluster, members, notes))
    assert str(failure.value).startswith(
        "node group hub-cpu: 1 of 3 did not join:\n"
        "machine hub-cpu-2: step 'reach root@127.0.0.1:9 over SSH': Connection refused"
    )
    assert [is_ready(cluster, name) for name in NAMES] == [True, False, True]


def test_a_run_again_does_only_what_is_left(cluster: FakeServer, machines: Server, notes: Path) -> None:
    members = three(machines)
    members["hub-cpu-2"]["host"] = {"trouble": "no machine of that type is left in the zone"}
    with pytest.raises(OpsError, match="machine hub-cpu-2: step 'create': no machine of that type"):
        v1.group_join(stdin(cluster, members, notes))
    assert len(noted(notes)) == 2
    v1.group_join(stdin(cluster, three(machines), notes))
    assert [line.split()[0] for line in noted(notes)] == ["hub-cpu-2"]
    assert all(is_ready(cluster, name) for name in NAMES)
    cluster.log.clear()
    v1.group_join(stdin(cluster, three(machines), notes))
    assert (noted(notes), cluster.log) == ([], [("GET", NODES)])


def test_a_changed_script_goes_to_every_machine(cluster: FakeServer, machines: Server, notes: Path) -> None:
    v1.group_join(stdin(cluster, three(machines), notes))
    noted(notes)
    before = cluster.objects[f"{NODES}/hub-cpu-1"]["metadata"]["annotations"][GIVEN]
    request = stdin(cluster, three(machines), notes)
    v1.group_join(request | {"script": request["script"] + "# a comment\n"})
    assert len(noted(notes)) == 3
    assert cluster.objects[f"{NODES}/hub-cpu-1"]["metadata"]["annotations"][GIVEN] != before


def test_a_new_label_needs_no_script_but_reaches_the_node(
    cluster: FakeServer, machines: Server, notes: Path
) -> None:
    v1.group_join(stdin(cluster, three(machines), notes))
    noted(notes)
    v1.group_join(stdin(cluster, three(machines), notes, labels=LABELS | {"team": "b"}))
    assert noted(notes) == []
    assert cluster.objects[f"{NODES}/hub-cpu-3"]["metadata"]["labels"]["team"] == "b"


def test_a_machine_that_is_not_who_it_should_be_gets_nothing(
    cluster: FakeServer, machines: Server, notes: Path
) -> None:
    with ssh_server() as other:
        members = three(machines)
        members["hub-cpu-1"]["host"]["host_key"] = other.host_key
        with pytest.raises(
            OpsError, match=r"hub-cpu-1: step 'reach .*another host key .* no secret was sent"
        ):
            v1.group_join(stdin(cluster, members, notes))
    assert [line.split()[0] for line in noted(notes)] == ["hub-cpu-2", "hub-cpu-3"]


def test_what_a_failing_script_said_last_is_told(cluster: FakeServer, machines: Server, notes: Path) -> None:
    script = "if [ $NODE_NAME = hub-cpu-3 ]; then echo FAILED at packages >&2; exit 4; fi\n"
    with pytest.raises(OpsError, match="hub-cpu-3: step 'node script': exit status 4:\nFAILED at packages"):
        v1.group_join(stdin(cluster, three(machines), notes, script=script))
    assert is_ready(cluster, "hub-cpu-1")


def test_a_machine_behind_a_jump_host_is_reached(cluster: FakeServer, machines: Server, notes: Path) -> None:
    jump = {"ssh_host": "127.0.0.1", "ssh_port": machines.port, "host_key": machines.host_key}
    v1.group_join(stdin(cluster, {"hub-cpu-1": machine(0, machines, jump=jump)}, notes))
    assert len(noted(notes)) == 1


def test_without_an_agent_the_error_says_so(
    cluster: FakeServer, notes: Path, machines: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(OpsError, match="SSH_AUTH_SOCK is not set"):
        v1.group_join(stdin(cluster, three(machines), notes))


def test_a_cancelled_run_waits_for_nobody(
    cluster: FakeServer, machines: Server, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.group.PATIENCE_NEW", 60)
    monkeypatch.setattr(wait, "STOPPED", type(wait.STOPPED)())
    wait.STOPPED.set()
    with pytest.raises(OpsError, match=r"cancelled|tried for 0 s"):
        v1.group_join(stdin(cluster, {"hub-cpu-1": machine(0, machines, ssh_port=CLOSED)}, notes))


# -- leaving


def running(cluster: FakeServer, *names: str, group: str = "cpu") -> None:
    for name in names:
        labels = {REGION: "hub", GROUP: group}
        cluster.objects[f"{NODES}/{name}"] = {
            "metadata": {"name": name, "labels": labels}, "spec": {}, "status": ready(True)
        }  # fmt: skip
        cluster.objects[f"/api/v1/namespaces/jobs/pods/on-{name}"] = {
            "metadata": {"name": f"on-{name}", "namespace": "jobs", "uid": name},
            "spec": {"nodeName": name},
            "status": {"phase": "Running"},
        }


def leaving(cluster: FakeServer, **changes: Any) -> Json:
    return {"kubeconfig": cluster.kubeconfig, "group": {"region": "hub", "name": "cpu"}} | changes


def nodes(cluster: FakeServer) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in cluster.objects if path.startswith(NODES))


def test_who_is_not_wanted_any_more_is_drained_and_forgotten(cluster: FakeServer) -> None:
    running(cluster, *NAMES)
    running(cluster, "hub-db-1", group="db")
    result = v1.group_retire(leaving(cluster, wanted=["hub-cpu-1"]))
    assert result == {"nodes": ["hub-cpu-1"]}
    assert nodes(cluster) == ["hub-cpu-1", "hub-db-1"]
    evictions = [path for method, path in cluster.log if method == "POST"]
    assert sorted(evictions) == [f"/api/v1/namespaces/jobs/pods/on-hub-cpu-{n}/eviction" for n in (2, 3)]


def test_with_nobody_to_retire_it_is_one_question(cluster: FakeServer) -> None:
    running(cluster, *NAMES)
    v1.group_retire(leaving(cluster, wanted=list(NAMES)))
    assert cluster.log == [("GET", NODES)]


def test_a_node_that_cannot_be_drained_is_named_and_the_others_leave(cluster: FakeServer) -> None:
    running(cluster, *NAMES)

    def budget(_: FakeServer, method: str, path: str, __: Json | None) -> tuple[int, Json] | None:
        return (429, {"message": "budget"}) if method == "POST" and "on-hub-cpu-2" in path else None

    cluster.hook = budget
    with pytest.raises(OpsError, match="1 of 3 did not leave:\nnode hub-cpu-2: step 'drain'"):
        v1.group_leave(leaving(cluster, drain_timeout=0.3))
    assert nodes(cluster) == ["hub-cpu-2"]


def test_nodes_of_machines_that_are_gone_are_forgotten_without_a_drain(cluster: FakeServer) -> None:
    running(cluster, "hub-cpu-1")
    v1.group_forget(leaving(cluster))
    assert nodes(cluster) == []
    assert [entry for entry in cluster.log if entry[0] != "GET"] == [("DELETE", f"{NODES}/hub-cpu-1")]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"machines": {"a": {}}}, "machines.a.host is missing"),
        ({"group": {"region": "hub"}}, "group.name is missing"),
        ({"machines": {"a": {"host": {"trouble": "t"}}}}, "machines.a.token is missing"),
    ],
)
def test_a_request_that_lacks_something_says_what(
    cluster: FakeServer, notes: Path, change: Json, says: str
) -> None:
    with pytest.raises(OpsError, match=says):
        v1.group_join(json.loads(json.dumps(stdin(cluster, {}, notes, **change))))
