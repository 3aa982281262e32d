"""From a machine to a node: what is sent to it, what the operator declares, and in which order."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from network.plan import plan_network
from ops.v1 import TOKEN, VERBS
from tests.components.deploy import CLUSTER_CA, auth_key, deployed
from tests.components.node_scripts import check_syntax, written_by
from tests.components.recording import Recording
from tests.components.stacks import dev, elsewhere, with_west
from tests.stacks import HOST_KEY, complaints

CONNECTOR = "/etc/kubernetes/manifests/apiserver-connector.yaml"
AUTH_KEY = "/etc/tailspan/connector/authkey"
NODES = ("hub-cp-1", "hub-gw-1", "hub-gw-2", "gpu-a", "gpu-b", "gpu-c", "west-a", "west-b")


@pytest.fixture
def three() -> Recording:
    return deployed(with_west())


def script_of(recording: Recording, node: str) -> str:
    return str(recording[f"{node}-bootstrap"].value("stdin"))


def request_of(recording: Recording, node: str) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(recording[f"{node}-join"].secret("stdin"))
    return request


@pytest.fixture
def connector(three: Recording) -> dict[str, Any]:
    """The spec of a GPU gateway's static pod."""
    spec: dict[str, Any] = yaml.safe_load(written_by(script_of(three, "gpu-a"))[CONNECTOR])["spec"]
    return spec


def env_of(spec: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in spec["containers"][0]["env"]}


@pytest.mark.parametrize("node", NODES)
def test_every_machines_script_is_valid_bash(three: Recording, node: str) -> None:
    check_syntax(script_of(three, node))


def test_gpu_gateways_bring_a_connector_and_no_other_machine_does(three: Recording) -> None:
    brings = {node for node in NODES if CONNECTOR in written_by(script_of(three, node))}
    assert brings == {"gpu-a", "gpu-b", "west-a"}


def test_the_connector_needs_no_api_server(connector: dict[str, Any]) -> None:
    env = env_of(connector)
    assert env["TS_KUBE_SECRET"] == ""
    assert env["TS_AUTH_ONCE"] == "true"
    assert connector["hostNetwork"] is True
    assert connector["dnsPolicy"] == "Default"
    assert "serviceAccountName" not in connector
    # A static pod may refer to nothing that only an API server knows.
    assert {kind for volume in connector["volumes"] for kind in volume} == {"name", "hostPath", "emptyDir"}


def test_the_connectors_state_is_on_the_host(connector: dict[str, Any]) -> None:
    mounts = {mount["mountPath"]: mount["name"] for mount in connector["containers"][0]["volumeMounts"]}
    paths = {
        volume["name"]: volume["hostPath"]["path"] for volume in connector["volumes"] if "hostPath" in volume
    }
    directory = env_of(connector)["TS_STATE_DIR"]
    assert paths[mounts[directory]] == directory == "/var/lib/tailspan/tailscale"


def test_the_connector_listens_where_the_firewall_is_open(connector: dict[str, Any]) -> None:
    assert env_of(connector)["PORT"] == "41641"


@pytest.mark.parametrize("node", ["gpu-a", "gpu-b", "west-a"])
def test_the_connector_advertises_the_plans_prefixes_without_a_blank(three: Recording, node: str) -> None:
    spec = yaml.safe_load(written_by(script_of(three, node))[CONNECTOR])["spec"]
    routes = env_of(spec)["TS_ROUTES"]
    regions = plan_network(with_west()).regions
    planned = next(item for region in regions for item in region.nodes if item.name == node)
    assert routes == ",".join(str(prefix) for prefix in planned.advertise)
    assert not any(character.isspace() for character in routes)


def test_no_secret_is_in_the_connectors_manifest(three: Recording) -> None:
    files = written_by(script_of(three, "gpu-a"))
    # The key lies in a file of its own, which is deleted after its only use.
    assert files[AUTH_KEY].strip() == auth_key("gpu-a")
    spec = yaml.safe_load(files[CONNECTOR])["spec"]
    assert env_of(spec)["TS_AUTHKEY"] == f"file:{AUTH_KEY}"
    assert [path for path, content in files.items() if auth_key("gpu-a") in content] == [AUTH_KEY]


def test_a_machine_gets_the_clusters_ca_and_its_own_token(three: Recording) -> None:
    for node in ("hub-gw-1", "gpu-a", "gpu-c"):
        files = written_by(script_of(three, node))
        assert files["/etc/kubernetes/pki/ca.crt"] == CLUSTER_CA
        config = yaml.safe_load(files["/etc/kubernetes/bootstrap-kubelet.conf"])
        assert config["users"][0]["user"]["token"] == request_of(three, node)["token"]


def test_the_operator_declares_each_node_as_planned(three: Recording) -> None:
    for region in plan_network(with_west()).regions:
        for node in region.nodes:
            request = request_of(three, node.name)
            assert request["node"]["name"] == node.name
            assert request["node"]["pod_cidr"] == str(node.pod_cidr)
            assert request["node"]["provider_id"] == f"lab://{region.name}/{node.name}"
            labels = request["node"]["labels"]
            assert labels["topology.kubernetes.io/region"] == region.name
            assert labels["node-restriction.kubernetes.io/tailspan-role"] == node.role
            assert request["ready_timeout"] <= 600
            assert (request["token"] is None) == (node.role == "control-plane")
            assert request["token"] is None or TOKEN.fullmatch(request["token"])


def test_gateways_take_their_tailnet_device_with_them(three: Recording) -> None:
    devices = {node: request_of(three, node)["device"] for node in NODES}
    assert {node for node in NODES if devices[node]} == {"hub-gw-1", "hub-gw-2", "gpu-a", "gpu-b", "west-a"}
    assert devices["gpu-a"]["hostname"] == "gpu-a"
    assert devices["gpu-a"]["tailnet"]["url"] == "https://198.51.100.2"


def test_gpus_are_labels_of_their_node(three: Recording) -> None:
    labels = request_of(three, "gpu-c")["node"]["labels"]
    assert (labels["tailspan.dev/gpu"], labels["tailspan.dev/gpu-count"]) == ("H100", "8")


@pytest.mark.parametrize("kind", ["H100 80GB", "-H100", "NVIDIA/H100", "H100."])
def test_a_gpu_that_kubernetes_would_refuse_as_a_label_is_refused_in_the_file(kind: str) -> None:
    # A label's value: letters, digits and inner dots, dashes and underscores. Otherwise the API server says
    # so, when the machine is paid for and joins.
    assert "regions[1].machines[0].gpu.type" in complaints(("regions.1.machines.0.gpu.type", kind))


def test_what_the_state_stores_for_a_delete_is_the_versioned_entry_point(three: Recording) -> None:
    for node in NODES:
        command = three[f"{node}-join"].inputs
        steps = ("create", "update", "delete")
        verbs = {step: command[step].removeprefix("python -m ops v1 ") for step in steps if step in command}
        # Nobody would be left to drain the control plane's node: it goes with its machine.
        leaves = {} if node == "hub-cp-1" else {"delete": "leave"}
        assert verbs == {"create": "join", "update": "update"} | leaves
        assert set(verbs.values()) <= VERBS.keys()


def test_a_changed_login_runs_a_script_again_and_never_makes_the_node_anew(three: Recording) -> None:
    for node in NODES:
        command = three[f"{node}-bootstrap"].inputs
        assert command["create"] == command["update"] == "/bin/bash -s -- join"
        assert command["delete"] == "/bin/bash -s -- leave"
        assert "triggers" not in command


def test_a_machine_that_goes_away_is_not_asked_to_leave(three: Recording) -> None:
    for node in NODES:
        assert three[f"{node}-bootstrap"].request.deletedWith.endswith(f"lab:index:Machine::{node}")


def test_plain_machines_join_after_the_gateways_and_leave_before_them(three: Recording) -> None:
    assert {"gpu-a-join", "gpu-b-join", "gpu-c-bootstrap"} <= three.before("gpu-c-join")
    assert "west-a-join" in three.before("west-b-join")
    assert three.before("gpu-c-join").isdisjoint({"west-a-join", "west-b-join"})


def test_every_join_waits_for_the_rights_to_be_admitted(three: Recording) -> None:
    bindings = {"tailspan-node-bootstrapper", "tailspan-node-renewal"}
    for node in NODES:
        assert bindings <= three.before(f"{node}-join")


def test_gpu_regions_join_after_the_hubs_gateways_run(three: Recording) -> None:
    for node in ("gpu-a", "gpu-b", "west-a"):
        assert "hub-subnet-router-daemonset" in three.before(f"{node}-join")


def test_every_join_waits_for_the_machines_own_script(three: Recording) -> None:
    for node in NODES:
        assert f"{node}-bootstrap" in three.before(f"{node}-join")


def test_a_wiped_machine_gets_a_new_generation_of_everything() -> None:
    before = deployed(dev())
    after = deployed(dev(("regions.1.machines.0.generation", 3)))
    assert after["gpu-a"].inputs["generation"] == 3
    assert after["gpu-a-key"].inputs["description"] != before["gpu-a-key"].inputs["description"]
    assert request_of(after, "gpu-a")["token"] != request_of(before, "gpu-a")["token"]
    assert request_of(after, "gpu-a")["device"]["hostname"] == "gpu-a-g3"


def test_a_wiped_gateways_old_devices_are_deleted() -> None:
    # They would keep their prefixes and their places among the tailnet's devices.
    assert request_of(deployed(dev()), "gpu-a")["device"]["replaces"] == []
    third = deployed(dev(("regions.1.machines.0.generation", 3)))
    assert request_of(third, "gpu-a")["device"]["replaces"] == ["gpu-a", "gpu-a-g2"]


def test_the_device_that_leaves_with_a_cloud_gateway_is_the_one_that_its_pod_registered() -> None:
    recording = deployed(elsewhere())
    pod = recording["hub-subnet-router-daemonset"].inputs["spec"]["template"]["spec"]
    name = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}["TS_HOSTNAME"]
    device = request_of(recording, "hub-gw")["device"]
    assert device["hostname"] == name.replace("$(NODE_NAME)", "hub-gw")
    # Its identity is in a Secret and outlives the machine.
    assert device["replaces"] == []


def test_ssh_compares_host_keys_and_takes_private_keys_from_the_agent_only() -> None:
    for recording in (deployed(dev()), deployed(elsewhere())):
        for command in recording.of("remote:Command").values():
            connection = command.value("connection")
            for hop in filter(None, (connection, connection.get("proxy"))):
                assert str(hop["hostKey"]).startswith("ssh-ed25519 ")
                assert not {"privateKey", "password", "privateKeyPassword"} & hop.keys()
                assert 0 < hop["dialErrorLimit"] * hop["perDialTimeout"] <= 300


def test_a_listed_machine_behind_another_is_reached_through_it() -> None:
    connection = deployed(elsewhere())["tx-b-bootstrap"].value("connection")
    assert (connection["host"], connection["user"], connection["hostKey"]) == (
        "10.3.0.11",
        "ubuntu",
        HOST_KEY,
    )
    assert (connection["proxy"]["host"], connection["proxy"]["hostKey"]) == ("198.51.100.7", HOST_KEY)


def test_a_login_that_is_not_root_uses_sudo_without_a_password() -> None:
    command = deployed(elsewhere())["tx-a-bootstrap"]
    assert command.inputs["create"] == "sudo -n /bin/bash -s -- join"
    assert not command.request.deletedWith


def test_listed_machines_need_no_provider_of_machines() -> None:
    types = {item.type.split(":")[0] for item in deployed(elsewhere()).resources.values()}
    assert types == {"pulumi", "tailspan", "command", "tailscale", "kubernetes"}
