"""A hub on GKE whose gateway is one of GKE's own nodes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from agent.config import of_this_machine, parse
from bootstrap.agent import region_config
from config.schema import StackConfig
from network.managed import GATEWAY_LABEL
from network.plan import plan_network
from tests.components.deploy import SEED, auth_key, deployed
from tests.components.managed import gke
from tests.components.recording import Recording, texts
from tests.components.sdk_inputs import problems

GATEWAY = "hub-gw-1"


def pool_stack(*edits: tuple[str, Any]) -> StackConfig:
    return gke(("regions.0.gateways", {"count": 1, "shape": "node-pool"}), *edits)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return deployed(pool_stack())


def pod_of(recording: Recording) -> dict[str, Any]:
    pod: dict[str, Any] = recording["hub-subnet-router-daemonset"].value("spec")["template"]["spec"]
    return pod


def test_the_sdk_would_take_every_input(recording: Recording) -> None:
    made = [item for item in recording.resources.values() if item.type.startswith("gcp:")]
    assert len(made) > 15
    assert [line for item in made for line in problems(item.type, item.inputs)] == []


def test_a_preview_and_an_update_make_the_same(recording: Recording) -> None:
    assert deployed(pool_stack(), preview=True).resources.keys() == recording.resources.keys()


def test_no_machine_of_the_plan_is_in_the_hub(recording: Recording) -> None:
    assert not recording.of("compute/instance:Instance")
    assert not [
        name for name in recording.resources if name.startswith(f"{GATEWAY}-b") or name == f"{GATEWAY}-join"
    ]
    assert {f"{name}-join" for name in ("tx-a", "tx-b")} <= recording.resources.keys()
    assert "hub-dns" not in recording.resources


def test_the_pool_is_one_node_with_a_public_address_and_the_gateways_name(recording: Recording) -> None:
    pool = recording[GATEWAY]
    assert pool.type == "gcp:container/nodePool:NodePool"
    assert pool.value("nodeCount") == 1
    assert "autoscaling" not in pool.inputs
    assert pool.value("networkConfig") == {"enablePrivateNodes": False, "podRange": "gke-pods"}
    assert pool.value("nodeConfig")["labels"][GATEWAY_LABEL] == GATEWAY
    assert pool.value("nodeConfig")["taints"] == [
        {"key": GATEWAY_LABEL, "value": GATEWAY, "effect": "NO_SCHEDULE"}
    ]
    assert (
        pool.value("nodeConfig")["serviceAccount"]
        == recording["hub-cpu"].value("nodeConfig")["serviceAccount"]
    )


def test_two_nodes_are_never_one_gateway_at_once(recording: Recording) -> None:
    pool = recording[GATEWAY]
    assert pool.value("upgradeSettings") == {"strategy": "SURGE", "maxSurge": 0, "maxUnavailable": 1}
    assert pool.request.deleteBeforeReplace


def test_a_regional_cluster_has_one_gateway_all_the_same() -> None:
    found = deployed(pool_stack(("regions.0.control_plane.location", "region")))
    assert found[GATEWAY].value("location") == "us-central1"
    assert found[GATEWAY].value("nodeLocations") == ["us-central1-a"]


def test_others_dial_it_and_nobody_logs_in(recording: Recording) -> None:
    tags = recording[GATEWAY].value("nodeConfig")["tags"]
    opened = {
        item.name: item.value("allows")[0].get("ports")
        for item in recording.of("Firewall").values()
        if item.inputs.get("targetTags") == tags
    }
    assert opened == {"hub-gateway-udp-41641": ["41641"], "hub-from-balancer": ["41644"]}


def test_the_vpcs_routes_lead_to_the_pools_group(recording: Recording) -> None:
    (backend,) = recording["hub-routers"].value("backends")
    assert backend["group"].endswith(f"/instanceGroups/{GATEWAY}")
    assert GATEWAY in recording.before("hub-routers")
    routes = recording.of("compute/route:Route")
    assert {item.value("destRange") for item in routes.values()} == {"10.3.0.0/24", "10.135.0.0/16"}
    assert {item.value("nextHopIlb") for item in routes.values()} == {
        recording.computed["hub-balancer-rule"]["selfLink"]
    }


def test_the_pod_goes_by_the_label_and_knows_the_gateways_name(recording: Recording) -> None:
    pod = pod_of(recording)
    assert pod["nodeSelector"] == {GATEWAY_LABEL: GATEWAY}
    tailscale, agent = pod["containers"]
    names = {row["name"]: row.get("value") for row in [*tailscale["env"], *agent["env"]]}
    assert (names["NODE_NAME"], names["TAILSPAN_NODE"]) == (GATEWAY, GATEWAY)
    assert recording["hub-subnet-router-config"].value("data")[GATEWAY]
    assert recording["hub-subnet-router-keys"].secret("stringData") == {GATEWAY: auth_key(GATEWAY)}
    assert "hub-subnet-router-budget" not in recording.resources


def test_the_pod_gets_onto_no_foreign_machine(recording: Recording) -> None:
    """Foreign machines have a taint that no kubelet can take away."""
    assert pod_of(recording)["tolerations"] == [
        {"key": GATEWAY_LABEL, "operator": "Equal", "value": GATEWAY, "effect": "NoSchedule"}
    ]


def test_no_kubelet_gives_itself_the_label_before_a_pod_can_go_by_it(recording: Recording) -> None:
    spec = recording["tailspan-gateway-label"].value("spec")
    (rule,) = spec["matchConstraints"]["resourceRules"]
    assert {"nodes", "nodes/status"} == set(rule["resources"])
    assert recording["tailspan-gateway-label-binding"].value("spec") == {
        "policyName": "tailspan-gateway-label",
        "validationActions": ["Deny"],
    }
    before = recording.before("hub-subnet-router-daemonset")
    assert {
        "tailspan-gateway-label",
        "tailspan-gateway-label-binding",
        "tailscale-critical-pods",
        GATEWAY,
    } <= before


def test_the_vm_shape_needs_no_such_guard() -> None:
    assert "tailspan-gateway-label" not in deployed(gke()).resources


def test_a_new_region_changes_nothing_on_the_gateway() -> None:
    """Its routes are the supernets; what is told of regions would start the pod anew."""
    (prepares,) = pod_of(deployed(pool_stack()))["initContainers"]
    told = {row["name"]: row["value"] for row in prepares["env"] if "value" in row}
    assert "10.3.0.0" not in str(told)
    assert told["SUPERNETS"].split() == [str(plan_network(pool_stack()).node_supernet), "10.128.0.0/9"]
    assert told["ENDPOINT"] == str(plan_network(pool_stack()).hub.managed.endpoint)  # type: ignore[union-attr]
    assert told["BALANCER"] == "10.0.1.253"


def test_only_googles_nodes_and_the_operator_reach_the_api_server(recording: Recording) -> None:
    blocks = recording["hub-gke"].value("masterAuthorizedNetworksConfig")["cidrBlocks"]
    assert {block["cidrBlock"] for block in blocks} == {"198.51.100.1/32"}


def test_the_agent_takes_the_address_that_google_gave_the_node() -> None:
    plan = plan_network(pool_stack())
    data = region_config(plan.hub, plan)
    told = {"TAILSPAN_NODE": GATEWAY, "TAILSPAN_NODE_IP": "10.0.2.7"}
    config = parse(of_this_machine(data, told), b"k" * 32)
    assert config.role == "gateway"
    assert config.node_ip == config.gateways[0].address == IPv4Address("10.0.2.7")
    planned = replace(plan.hub, pool_gateways=False)
    config = parse(of_this_machine(region_config(planned, plan), told), b"k" * 32)
    assert config.node_ip == IPv4Address("10.0.0.20")


def test_no_secret_is_in_plain_sight(recording: Recording) -> None:
    plain = [text for item in recording.resources.values() for text in texts(item.inputs, secrets=False)]
    assert not [text for text in plain if any(word in text for word in (SEED, auth_key(""), "tskey-api-of"))]
