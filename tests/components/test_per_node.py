"""A stack in which every machine is a device of the tailnet: keys, connectors, openings, order, farewell."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from config.schema import StackConfig
from tests.components.deploy import auth_key, deployed
from tests.components.node_scripts import check_syntax, written_by
from tests.components.recording import Recording
from tests.components.stacks import all_devices, dev, shared
from tests.stacks import stack_data

CONNECTOR = "/etc/kubernetes/manifests/apiserver-connector.yaml"
AUTH_KEY = "/etc/tailspan/connector/authkey"
NODES = ("hub-cp-1", "hub-cpu-1", "hub-cpu-2", "shared-a", "shared-b")
WIREGUARD = ("udp", 41641, "0.0.0.0/0")


@pytest.fixture
def recording() -> Recording:
    return deployed(all_devices())


def script_of(recording: Recording, node: str) -> str:
    return str(recording[f"{node}-bootstrap"].secret("stdin"))


def request_of(recording: Recording, node: str) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(recording[f"{node}-join"].secret("stdin"))
    return request


def test_every_machine_brings_a_connector_that_advertises_itself(recording: Recording) -> None:
    routes = {}
    for node in NODES:
        check_syntax(script_of(recording, node))
        spec = yaml.safe_load(written_by(script_of(recording, node))[CONNECTOR])["spec"]
        env = {entry["name"]: entry["value"] for entry in spec["containers"][0]["env"]}
        assert env["TS_KUBE_SECRET"] == ""
        routes[node] = env["TS_ROUTES"]
    assert routes == {
        "hub-cp-1": "10.0.0.10/32,10.128.10.0/24",
        "hub-cpu-1": "10.0.0.40/32,10.128.40.0/24",
        "hub-cpu-2": "10.0.0.41/32,10.128.41.0/24",
        "shared-a": "10.4.0.10/32,10.132.10.0/24",
        "shared-b": "10.4.0.11/32,10.132.11.0/24",
    }


def test_each_machine_gets_its_own_key_and_no_other(recording: Recording) -> None:
    for node in NODES:
        text = script_of(recording, node)
        assert written_by(text)[AUTH_KEY].strip() == auth_key(node)
        assert [other for other in NODES if auth_key(other) in text] == [node]


def test_the_connector_of_the_control_plane_comes_after_its_init(recording: Recording) -> None:
    text = script_of(recording, "hub-cp-1")
    role = text[text.index("machine_role() {") :]
    assert role.index("kubeadm init --config") < role.index("  connector\n") < role.index('step "API server"')


def test_nothing_of_the_cloud_region_is_a_daemon_set(recording: Recording) -> None:
    # A machine that boots would wait for its pod from an API server that answers it through the tailnet only.
    assert recording.of("DaemonSet") == {}
    assert "hub-subnet-router-daemonset" in deployed(dev()).resources


def test_every_machine_can_be_dialled(recording: Recording) -> None:
    for name in ("hub-control-plane-firewall", "hub-workers-firewall", "shared-workers-firewall"):
        ingress = recording[name].inputs["ingress"]
        assert WIREGUARD in {(rule["protocol"], int(rule["port"]), rule["source"]) for rule in ingress}
    machines = recording.of("lab:index:Machine")
    assert {machine.inputs["public"] for machine in machines.values()} == {True}


def test_gpu_machines_join_at_once_and_after_the_hub(recording: Recording) -> None:
    for node in ("shared-a", "shared-b"):
        before = recording.before(f"{node}-join")
        assert {"hub-cp-1-join", "hub-cpu-1-join", "tailscale-namespace"} <= before
        assert before.isdisjoint({"shared-a-join", "shared-b-join"} - {f"{node}-join"})


def test_every_machine_takes_its_device_with_it(recording: Recording) -> None:
    for node in NODES:
        assert recording[f"{node}-join"].inputs["delete"] == (
            "python -m ops v1 device-delete" if node == "hub-cp-1" else "python -m ops v1 leave"
        )
    devices = {node: request_of(recording, node)["device"] for node in NODES}
    assert {node: device["hostname"] for node, device in devices.items()} == {
        "hub-cp-1": "hub-cp-1",
        "hub-cpu-1": "hub-cpu-1",
        "hub-cpu-2": "hub-cpu-2",
        "shared-a": "shared-a",
        "shared-b": "shared-b-g2",
    }
    assert devices["shared-b"]["replaces"] == ["shared-b"]


def test_a_machine_more_changes_nothing_on_its_neighbours() -> None:
    data = stack_data()
    data["regions"].append(shared())
    before = deployed(StackConfig.model_validate(data))
    data["regions"][-1]["machines"].append({"name": "shared-c", "node_ip": "10.4.0.12"})
    after = deployed(StackConfig.model_validate(data))
    changed = {name for name, resource in before.resources.items() if after.resources.get(name) != resource}
    # The region counts it.
    assert changed == {"shared"}
    assert before["shared-dns"].inputs == after["shared-dns"].inputs
    added = after.resources.keys() - before.resources.keys()
    assert added == {"shared-c", "shared-c-key", "shared-c-bootstrap", "shared-c-join"}
