"""Nodes as the check judges them where a cloud runs the control plane and has nodes of its own."""

from __future__ import annotations

from typing import Any

from check.nodes import OWN, judge_nodes
from check.stack import Stack, parse
from config.schema import StackConfig
from network.plan import plan_network
from outputs import address_map
from tests.components.managed import eks, gke
from tests.stacks import stack

VERSION = "v1.35.2"


def planned(config: StackConfig) -> Stack:
    plan = plan_network(config)
    return parse(
        {
            "plan": {
                "mtu": plan.mtu,
                "mss": plan.mss,
                "service_cidr": str(plan.service_cidr),
                "node_supernet": str(plan.node_supernet),
                "pod_supernet": str(plan.pod_supernet),
            },
            "regions": address_map(plan),
            "kubeconfig": "{}",
        }
    )


def live(name: str, node_ip: str, pod_cidr: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": pod_cidr},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": node_ip}],
            "nodeInfo": {"kubeletVersion": VERSION},
        },
    }


def running(stack: Stack) -> list[dict[str, Any]]:
    return [
        live(node.name, str(node.node_ip), str(node.pod_cidr), **{OWN: node.region})
        for node in stack.nodes
        if node.joins
    ]


CLOUDS_OWN = live("ip-10-0-2-7.ec2.internal", "10.0.2.7", "")
FORGOTTEN = live("rack-z", "10.7.0.99", "", **{OWN: "rack"})


def test_a_clouds_own_nodes_are_nobody_forgotten() -> None:
    for config in (gke(), eks()):
        stack = planned(config)
        assert stack.managed
        results = judge_nodes(stack, [*running(stack), CLOUDS_OWN], VERSION)
        assert [result for result in results if not result.ok] == []
        (found,) = [r for r in judge_nodes(stack, [*running(stack), FORGOTTEN], VERSION) if not r.ok]
        assert found.detail == "rack-z"


def test_where_we_made_the_control_plane_every_other_node_is_one_too_many() -> None:
    planned_here = planned(stack())
    assert not planned_here.managed
    nodes = [{**node, "status": {**node["status"]}} for node in running(planned_here)]
    (found,) = [r for r in judge_nodes(planned_here, [*nodes, CLOUDS_OWN], VERSION) if not r.ok]
    assert found.detail == CLOUDS_OWN["metadata"]["name"]


def test_gateways_that_are_no_nodes_are_not_missed_but_their_links_are_looked_at() -> None:
    standalone = planned(eks())
    pool = planned(gke(("regions.0.gateways", {"count": 1, "shape": "node-pool"})))
    for managed, names in ((standalone, {"hub-gw-1", "hub-gw-2"}), (pool, {"hub-gw-1"})):
        assert {node.name for node in managed.nodes if not node.joins} == names
        assert names.isdisjoint(node.name for node in managed.participants)
        assert names.isdisjoint(node.name for node in managed.linked)
        assert names <= {node.name for node in managed.peers}
    assert all(node.joins for node in planned(gke()).nodes)
