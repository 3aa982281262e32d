"""The route agent reaches every machine of a region with gateways, by the way that works there, and no other."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from typing import Any

import pytest
import yaml

from agent.config import of_this_machine, parse
from bootstrap.agent import CONFIG, KEY, MANIFEST, PROGRAM, zipapp
from bootstrap.script import CONNECTOR_MANIFEST
from components.route_agent import agent_key
from config.schema import StackConfig
from tests.components.deploy import SEED, deployed
from tests.components.node_scripts import written_by
from tests.components.recording import Recording
from tests.components.stacks import dev, with_west
from tests.stacks import ROOT, stack_data

IDENTITY = "tailspan.dev/agent"


@pytest.fixture
def stack() -> Recording:
    return deployed(dev())


@pytest.fixture
def per_node() -> Recording:
    return deployed(StackConfig.model_validate(stack_data(ROOT / "examples" / "Pulumi.per-node.yaml")))


def files_of(recording: Recording, machine: str) -> dict[str, str]:
    return written_by(recording[f"{machine}-bootstrap"].secret("stdin"))


def daemonset(recording: Recording, name: str) -> dict[str, Any]:
    template: dict[str, Any] = recording[name].inputs["spec"]["template"]
    return template


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = (one for one in pod["spec"]["containers"] if one["name"] == "route-agent")
    return dict(found)


def test_every_machine_of_a_gateway_region_has_one_agent(stack: Recording) -> None:
    ways = {}
    for machine in ("gpu-a", "gpu-b", "gpu-c"):
        files = files_of(stack, machine)
        pods = [yaml.safe_load(files[path]) for path in (CONNECTOR_MANIFEST, MANIFEST) if path in files]
        (pod,) = (
            one for one in pods if any(box["name"] == "route-agent" for box in one["spec"]["containers"])
        )
        ways[machine] = pod["metadata"]["name"]
    assert ways == {
        "gpu-a": "apiserver-connector",
        "gpu-b": "apiserver-connector",
        "gpu-c": "route-agent",
    }
    gateways = daemonset(stack, "hub-subnet-router-daemonset")
    assert [box["name"] for box in gateways["spec"]["containers"]] == ["tailscale", "route-agent"]
    plain = daemonset(stack, "hub-route-agent-daemonset")["spec"]["affinity"]["nodeAffinity"]
    (term,) = plain["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert {one["key"]: one["values"] for one in term["matchExpressions"]} == {
        "node-restriction.kubernetes.io/tailspan-region": ["hub"],
        "node-restriction.kubernetes.io/tailspan-role": ["control-plane", "worker"],
    }


def test_a_cloud_regions_machines_get_no_agent_by_their_scripts(stack: Recording) -> None:
    for machine in ("hub-cp-1", "hub-gw-1", "hub-gw-2"):
        assert not {CONFIG, KEY, PROGRAM, MANIFEST} & files_of(stack, machine).keys()


def test_a_machine_that_is_its_own_way_out_has_nothing_to_choose(per_node: Recording) -> None:
    machines = [
        name.removesuffix("-bootstrap") for name in per_node.of("remote:Command") if name.startswith("shared")
    ]
    assert machines
    for machine in machines:
        files = files_of(per_node, machine)
        assert not {CONFIG, KEY, PROGRAM, MANIFEST} & files.keys()
        (box,) = yaml.safe_load(files[CONNECTOR_MANIFEST])["spec"]["containers"]
        assert "lifecycle" not in box


def test_the_configuration_is_the_same_on_all_machines_of_a_region_and_each_finds_itself(
    stack: Recording,
) -> None:
    (config,) = {files_of(stack, machine)[CONFIG] for machine in ("gpu-a", "gpu-b", "gpu-c")}
    key = bytes.fromhex(agent_key(SEED, "gpu"))
    roles = {}
    for machine, address in (("gpu-a", "10.1.0.10"), ("gpu-b", "10.1.0.11"), ("gpu-c", "10.1.0.12")):
        told = {"TAILSPAN_NODE": machine, "TAILSPAN_NODE_IP": address}
        mine = parse(of_this_machine(json.loads(config), told), key)
        roles[machine] = (mine.role, str(mine.node_ip), str(mine.pods))
    assert roles == {
        "gpu-a": ("gateway", "10.1.0.10", "10.129.10.0/24"),
        "gpu-b": ("gateway", "10.1.0.11", "10.129.11.0/24"),
        "gpu-c": ("node", "10.1.0.12", "10.129.12.0/24"),
    }


def test_a_new_region_changes_no_configuration_of_the_others(stack: Recording) -> None:
    three = deployed(with_west())
    for machine in ("gpu-a", "gpu-b", "gpu-c"):
        assert files_of(three, machine) == files_of(stack, machine)
    for name in ("hub-gateway-agent-files", "hub-route-agent-node-files"):
        assert three[name].inputs["data"] == stack[name].inputs["data"]


def test_each_region_has_a_key_of_its_own_and_it_is_kept_secret(stack: Recording) -> None:
    three = deployed(with_west())
    keys = {machine: files_of(three, machine)[KEY].strip() for machine in ("gpu-a", "gpu-c", "west-a")}
    assert keys["gpu-a"] == keys["gpu-c"] != keys["west-a"]
    assert keys["gpu-a"] == agent_key(SEED, "gpu") != agent_key(SEED, "hub")
    for name in ("hub-gateway-agent-key", "hub-route-agent-node-key"):
        assert json.loads(json.dumps(stack[name].secret("stringData")))["key"] == agent_key(SEED, "hub")


def test_the_program_is_the_same_in_the_cluster_and_on_machines(stack: Recording) -> None:
    packed = stack["hub-gateway-agent-files"].inputs["binaryData"]["agent.pyz"]
    assert base64.b64decode(packed) == zipapp()
    script = stack["gpu-c-bootstrap"].secret("stdin")
    assert base64.b64encode(zipapp()).decode() in script
    names = zipfile.ZipFile(io.BytesIO(zipapp())).namelist()
    assert {"agent/gateway_agent.py", "agent/node_agent.py", "__main__.py"} <= set(names)


@pytest.mark.parametrize("machine", ["gpu-a", "gpu-c"])
def test_an_agent_may_change_the_hosts_network_and_nothing_else(stack: Recording, machine: str) -> None:
    files = files_of(stack, machine)
    pod = yaml.safe_load(files.get(MANIFEST) or files[CONNECTOR_MANIFEST])
    context = container(pod)["securityContext"]
    assert pod["spec"]["hostNetwork"] is True
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "SYS_NICE"]}
    assert "privileged" not in context


def test_tailscale_carries_on_until_its_gateway_has_handed_over(stack: Recording) -> None:
    connector = yaml.safe_load(files_of(stack, "gpu-a")[CONNECTOR_MANIFEST])
    for pod in (connector, daemonset(stack, "hub-subnet-router-daemonset")):
        tailscale = pod["spec"]["containers"][0]
        asked = tailscale["lifecycle"]["preStop"]["httpGet"]
        assert asked == {"host": "127.0.0.1", "port": 41643, "path": "/hand-over"}
        assert pod["spec"]["terminationGracePeriodSeconds"] == 30
        # Both see the same socket.
        mounts = [
            {mount["name"]: mount["mountPath"] for mount in box["volumeMounts"]}["socket"]
            for box in pod["spec"]["containers"]
        ]
        assert mounts == ["/run/tailscale", "/run/tailscale"]


def test_a_gateway_is_ready_when_its_partners_find_that_it_forwards(stack: Recording) -> None:
    spec = stack["hub-subnet-router-daemonset"].inputs["spec"]
    assert container(spec["template"])["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert spec["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1}
    assert spec["minReadySeconds"] >= 5
    budget = stack["hub-subnet-router-budget"].inputs["spec"]
    assert budget == {"minAvailable": 1, "selector": spec["selector"]}


def test_a_single_gateway_may_be_evicted(stack: Recording) -> None:
    alone = deployed(dev(("regions.0.gateways.count", 1)))
    assert stack.of("PodDisruptionBudget")
    assert not alone.of("PodDisruptionBudget")


def test_gateways_of_a_region_are_updated_one_after_the_other(stack: Recording) -> None:
    assert "gpu-a-bootstrap" in stack["gpu-b-bootstrap"].dependencies
    assert "gpu-b-bootstrap" not in stack["gpu-a-bootstrap"].dependencies
    # The script of each ends when it forwards.
    assert "wait_for_forwarding" in stack["gpu-a-bootstrap"].secret("stdin")


def test_whatever_changes_in_a_pod_shows_in_its_identity(stack: Recording) -> None:
    pods = [
        yaml.safe_load(files_of(stack, machine)[path])
        for machine, path in (("gpu-a", CONNECTOR_MANIFEST), ("gpu-c", MANIFEST))
    ]
    pods += [daemonset(stack, name) for name in ("hub-subnet-router-daemonset", "hub-route-agent-daemonset")]
    identities = [pod["metadata"]["annotations"][IDENTITY] for pod in pods]
    assert len(set(identities)) == len(identities)
    other = yaml.safe_load(
        files_of(deployed(dev(("images.mirror", "registry.example.com/m"))), "gpu-c")[MANIFEST]
    )
    assert other["metadata"]["annotations"][IDENTITY] != identities[1]
    assert container(other)["image"].startswith("registry.example.com/m/library/python:")


def test_the_nodes_agents_follow_the_gateways_and_no_update_waits_for_them(stack: Recording) -> None:
    nodes = stack["hub-route-agent-daemonset"]
    assert nodes.inputs["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert "automountServiceAccountToken" in daemonset(stack, "hub-route-agent-daemonset")["spec"]
