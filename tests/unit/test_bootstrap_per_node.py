"""A machine of a per-node region: its routes, its fence towards the LAN, its packet sizes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from bootstrap.cni import plain_conflist
from bootstrap.connector import has_connector
from bootstrap.fence import POD_DEVICES
from bootstrap.hostnetwork import network_env, nftables
from network.plan import NetworkPlan, NodePlan, RegionPlan, plan_network
from tests.components.stacks import all_devices
from tests.stacks import HOST_KEY, ssh_region, stack

Place = tuple[NodePlan, RegionPlan, NetworkPlan]
PLAN = plan_network(all_devices())
NODES = {node.name: node for region in PLAN.regions for node in region.nodes}
SOME = ("hub-cp-1", "hub-cpu-1", "shared-a")


def place(name: str) -> Place:
    return NODES[name], PLAN.region(NODES[name].region), PLAN


def variables(node: NodePlan, region: RegionPlan, plan: NetworkPlan) -> dict[str, str]:
    return dict(
        re.findall(r"^(\w+)='(.*)'$", network_env(node, region, plan, "api.example.internal"), re.MULTILINE)
    )


def chain(name: str, text: str) -> list[str]:
    """A chain's rules, in order."""
    body = text[text.index(f"chain {name} {{") :]
    return [line.strip() for line in body[: body.index("\n  }\n")].splitlines()[1:]]


@pytest.mark.parametrize("name", SOME)
def test_network_env_is_as_reviewed(name: str, snapshot: SnapshotAssertion) -> None:
    assert network_env(*place(name), "api.dev.tailspan.internal") == snapshot


def test_the_packet_filter_is_as_reviewed(snapshot: SnapshotAssertion) -> None:
    assert nftables(*place("shared-a")) == snapshot


@pytest.mark.parametrize("name", SOME)
def test_it_knows_no_neighbour_so_a_machine_more_changes_nothing_on_it(name: str) -> None:
    node, region, _ = place(name)
    env = variables(*place(name))
    assert (env["PEERS"], env["GATEWAYS"], env["NEXT_HOP"]) == ("", "", "")
    others = [other.node_ip for other in region.nodes if other is not node and other.role != "control-plane"]
    text = network_env(*place(name), "api") + nftables(*place(name))
    assert not [address for address in others if f"{address}" in text]


@pytest.mark.parametrize("name", SOME)
def test_only_its_own_pods_bypass_the_tailnet(name: str) -> None:
    node, _, _ = place(name)
    assert variables(*place(name))["OWN"] == str(node.pod_cidr)
    assert variables(*place(name))["DEVICE"] == "yes"


@pytest.mark.parametrize("name", SOME)
def test_the_region_is_fenced_off_whatever_it_does_on_the_lan(name: str) -> None:
    node, region, plan = place(name)
    text = nftables(node, region, plan)
    ours = f"{{ {region.node_cidr}, {region.pod_cidr} }}"
    assert chain("fence_out", text)[-2:] == [f"ip daddr {ours} jump lan_needs", f"ip daddr {ours} drop"]
    assert chain("fence_in", text)[-2:] == [f"ip saddr {ours} jump lan_needs", f"ip saddr {ours} drop"]
    assert chain("fence_pods", text)[-1] == "drop"
    # The last hook before the wire: in output a translated Service still names the device of its old route.
    assert "type filter hook postrouting" in chain("fence_out", text)[0]


@pytest.mark.parametrize("name", ["fence_out", "fence_in", "fence_pods"])
def test_the_tailnet_and_the_machines_own_pods_are_inside_the_fence(name: str) -> None:
    direction = "oifname" if name == "fence_out" else "iifname"
    rules = chain(name, nftables(*place("shared-a")))
    for device in ("tailscale0", "lo", *POD_DEVICES):
        assert f'{direction} "{device}" accept' in rules


def test_what_is_encrypted_by_itself_may_use_the_lan() -> None:
    rules = chain("lan_needs", nftables(*place("shared-a")))
    assert {"udp dport 41641 accept", "udp sport 41641 accept", "tcp dport 22 accept"} <= set(rules)
    assert not [rule for rule in rules if "10250" in rule or "6443" in rule]


def test_a_gateway_region_has_no_fence() -> None:
    plan = plan_network(stack())
    for region in plan.regions:
        for node in region.nodes:
            assert "fence" not in nftables(node, region, plan)


@pytest.mark.parametrize("name", SOME)
def test_it_clamps_and_keeps_its_source_like_a_gateway_and_tracks_everything(name: str) -> None:
    node, region, plan = place(name)
    text = nftables(node, region, plan)
    assert text.count(f"tcp option maxseg size set {plan.mss}") == 2
    assert f"snat ip to {node.node_ip}" in text
    # Its flows leave and come back by itself, whatever the other region does.
    assert "notrack" not in text


@pytest.mark.parametrize("name", SOME)
def test_its_pods_have_the_tunnels_packet_size(name: str) -> None:
    node, region, plan = place(name)
    assert json.loads(plain_conflist(node, region, plan))["plugins"][0]["mtu"] == plan.mtu


@pytest.mark.parametrize(("lan", "alone"), [("l2", "no"), ("routed", "no"), ("none", "yes")])
def test_without_a_lan_it_carries_its_node_ip_itself(lan: str, alone: str) -> None:
    machines: list[dict[str, Any]] = [
        {
            "name": f"tx-{host}",
            "node_ip": f"10.3.0.{host}",
            "address": f"203.0.113.{host}",
            "host_key": HOST_KEY,
        }
        for host in (10, 11)
    ]
    region = ssh_region(mode="per-node", machines=machines, provider={"kind": "ssh", "lan": lan})
    plan = plan_network(stack(("regions.2", region)))
    tx = plan.region("tx")
    assert variables(tx.nodes[0], tx, plan)["ALONE"] == alone


def test_only_a_cloud_regions_gateways_have_no_connector() -> None:
    assert all(has_connector(node, PLAN.region(node.region)) for node in NODES.values())
    dev = plan_network(stack())
    having = {node.name for region in dev.regions for node in region.nodes if has_connector(node, region)}
    assert having == {"gpu-a", "gpu-b"}
