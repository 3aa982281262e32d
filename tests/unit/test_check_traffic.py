"""The pattern of answers decides what is said to be broken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from check import probes, traffic
from check.cluster import Pod
from check.probes import Plan
from check.result import CheckError, Result
from check.stack import Stack, parse

REGIONS = {
    "hub": ("10.0.0", "10.128", {"hub-cp-1": 10, "hub-gw-1": 20}),
    "gpu": ("10.1.0", "10.129", {"gpu-a": 10, "gpu-c": 12}),
}
ROLES = {"hub-cp-1": "control-plane", "hub-gw-1": "gateway", "gpu-a": "gateway", "gpu-c": "worker"}


def outputs() -> dict[str, Any]:
    return {
        "kubeconfig": "apiVersion: v1",
        "plan": {
            "mtu": 1280,
            "mss": 1240,
            "service_cidr": "10.96.0.0/16",
            "dns_ip": "10.96.0.10",
            "node_supernet": "10.0.0.0/9",
            "pod_supernet": "10.128.0.0/9",
        },
        "regions": [
            {
                "name": region,
                "kind": "cloud" if region == "hub" else "gpu",
                "node_cidr": f"{nodes}.0/24",
                "pod_cidr": f"{pods}.0.0/16",
                "reach": "lan",
                "nodes": [
                    {
                        "name": name,
                        "role": ROLES[name],
                        "node_ip": f"{nodes}.{host}",
                        "pod_cidr": f"{pods}.{host}.0/24",
                    }
                    for name, host in members.items()
                ],
            }
            for region, (nodes, pods, members) in REGIONS.items()
        ],
    }


@pytest.fixture
def stack() -> Stack:
    return parse(outputs())


@pytest.fixture
def plan(stack: Stack) -> Plan:
    pods = {n.name: Pod(name=f"probe-{n.name}", node=n.name, ip=str(n.pod_cidr[5])) for n in stack.nodes}
    return Plan(
        stack=stack,
        namespace="n",
        pods=pods,
        services={"hub": "10.96.1.1", "gpu": "10.96.1.2"},
        nodes=stack.participants,
    )


def dialled(address: str) -> str:
    return json.dumps({"responses": [f"{address}:40000"]})


def healthy(plan: Plan) -> dict[str, dict[str, str]]:
    answers: dict[str, dict[str, str]] = {}
    for node in plan.nodes:
        mine = answers.setdefault(node.name, {})
        for other in plan.nodes:
            if other != node:
                mine[f"http:{other.name}"] = mine[f"udp:{other.name}"] = dialled(plan.pods[node.name].ip)
        for region, address in plan.services.items():
            mine[f"svc:{region}"] = dialled(plan.pods[node.name].ip)
            mine[f"dns:{region}"] = (
                f"Server: 10.96.0.10 Address: 10.96.0.10:53 Name: probe Address: {address}"
            )
            mine[f"mtu:{region}"] = (
                "1421 0 0 10.128.10.5:1 10.129.12.5:8080 ts sack cubic mss:1228 pmtu:1280 advmss:1228"
            )
            mine[f"mss:{region}"] = (
                "0 0 10.128.10.5:1 10.129.12.5:8080 ts sack cubic mss:1228 pmtu:1500 advmss:1448"
            )
        mine["dns:kubernetes"] = "Server: 10.96.0.10 Name: kubernetes Address: 10.96.0.1"
    return answers


def failed(plan: Plan, answers: dict[str, dict[str, str]]) -> list[Result]:
    results = traffic.judge(plan, answers, {}) + traffic.judge_sizes(plan, answers)
    return [result for result in results if not result.ok]


def test_a_healthy_cluster_has_every_region_pair_in_every_check(plan: Plan) -> None:
    results = traffic.judge(plan, healthy(plan), {"gpu-a": 1.5})
    assert all(result.ok for result in results), results
    pairs = {r.subject for r in results if r.name == "pod to pod, source kept"}
    assert pairs == {"hub to hub", "hub to gpu", "gpu to hub", "gpu to gpu"}
    assert {r.subject for r in results if r.name == "TCP segment size"} == {"hub to gpu", "gpu to hub"}


def test_translated_sources_name_the_gateway(plan: Plan) -> None:
    answers = healthy(plan)
    answers["gpu-c"]["http:hub-cp-1"] = dialled("10.0.0.20")
    (result,) = failed(plan, answers)
    assert result.subject == "gpu to hub"
    assert "hub-cp-1 saw 10.0.0.20 instead of gpu-c's pod" in result.detail
    assert "gateway hub-gw-1" in result.cause
    assert "SNAT on" in result.cause


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ("100.64.0.3", "SNAT on"),
        ("10.1.0.12", "the node gpu-c: it masquerades"),
        ("192.0.2.1", "belongs to no node"),
    ],
)
def test_every_other_source_has_a_cause_too(stack: Stack, seen: str, says: str) -> None:
    assert says in traffic.altered_source(stack, seen)


def test_one_silent_node_is_named(plan: Plan) -> None:
    answers = healthy(plan)
    for source in ("hub-cp-1", "hub-gw-1"):
        answers[source]["http:gpu-c"] = '{"errors":["dial tcp: i/o timeout"]}'
    (result,) = failed(plan, answers)
    assert result.detail == "2 of 4 fail: hub-cp-1 to gpu-c: timeout; hub-gw-1 to gpu-c: timeout"
    assert "gpu-c does not answer: route of the supernets missing" in result.cause
    assert "NOTRACK" in result.cause


def test_a_node_that_reaches_nobody_is_named(plan: Plan) -> None:
    answers = healthy(plan)
    answers["gpu-c"] |= {"http:hub-cp-1": "", "http:hub-gw-1": ""}
    (result,) = failed(plan, answers)
    assert "gpu-c reaches nobody" in result.cause


def test_scattered_failures_point_at_the_gateways_prefixes(plan: Plan) -> None:
    answers = healthy(plan)
    answers["gpu-c"]["http:hub-cp-1"] = answers["gpu-a"]["http:hub-gw-1"] = ""
    (result,) = failed(plan, answers)
    assert "no legitimate sender" in result.cause


def test_a_dead_region_pair_points_at_gateways_routes_and_grants(plan: Plan) -> None:
    answers = healthy(plan)
    for source in ("gpu-a", "gpu-c"):
        answers[source] = {key: "" if ":hub" in key else value for key, value in answers[source].items()}
    names = {result.name for result in failed(plan, answers)}
    assert names == {
        "pod to pod, source kept",
        "pod to pod over UDP",
        "pod to Service",
        "DNS",
        "packet size",
        "TCP segment size",
    }
    assert "nothing passes from gpu to hub" in failed(plan, answers)[0].cause


def test_a_pod_that_reaches_itself_through_its_service_may_be_masqueraded(plan: Plan) -> None:
    answers = healthy(plan)
    answers["gpu-c"]["svc:gpu"] = dialled("10.129.12.1")
    assert failed(plan, answers) == []
    answers["gpu-c"]["svc:hub"] = dialled("10.1.0.12")
    assert [r.name for r in failed(plan, answers)] == ["pod to Service"]


def test_a_wrong_name_answer_is_found(plan: Plan) -> None:
    answers = healthy(plan)
    answers["gpu-a"]["dns:kubernetes"] = "Server: 10.96.0.10 ** server can't find kubernetes: NXDOMAIN"
    (result,) = failed(plan, answers)
    assert (result.name, result.subject) == ("DNS", "gpu")
    assert "CoreDNS" in result.cause


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("0 ts mss:1228 pmtu:1500", "ICMP must pass"),
        ("", "ICMP must pass"),
        ("1421 ts mss:1228 pmtu:1420", "planned 1280"),
        ("1421 sh: ss: not found", "has no ss"),
    ],
)
def test_a_wrong_path_mtu_is_found(plan: Plan, answer: str, says: str) -> None:
    answers = healthy(plan)
    answers["hub-cp-1"]["mtu:gpu"] = answer
    (result,) = failed(plan, answers)
    assert says in result.cause


@pytest.mark.parametrize(
    ("answer", "ok", "says"),
    [
        ("cubic mss:1240 pmtu:1500", True, ""),
        ("ts sack mss:1448 pmtu:1500", False, "MSS clamp of the gateways of hub and gpu"),
        ("ts sack mss:536 pmtu:1500", False, "MSS clamp"),
        ("sh: ss: not found", False, "has no ss"),
        ("", False, "no TCP connection"),
    ],
)
def test_the_negotiated_segment_size_is_compared_with_the_plan(
    plan: Plan, answer: str, ok: bool, says: str
) -> None:
    answers = healthy(plan)
    answers["hub-cp-1"]["mss:gpu"] = answer
    found = failed(plan, answers)
    assert (not found) is ok
    assert ok or says in found[0].cause


def test_a_probe_asks_everyone_but_itself_and_reads_its_answers(plan: Plan) -> None:
    worker = next(node for node in plan.nodes if node.name == "gpu-c")
    text = probes.script(plan, worker)
    assert "http:gpu-c" not in text
    assert "dial udp:hub-gw-1 'host=10.128.20.5&port=8081&protocol=udp&request=clientip' &" in text
    assert (
        "mss mss:hub 10.128.10.5 &" in text
    )  # the control plane stands for the hub: its way is the whole way
    gateway = next(node for node in plan.nodes if node.name == "gpu-a")
    assert "mss mss:" not in probes.script(plan, gateway)
    assert probes.size_script(plan, gateway) == ""
    assert "mtu mtu:hub 10.128.10.5 'host=10.128.10.5&port=8081" in probes.size_script(plan, worker)
    assert probes.read('http:a {"responses":["x"]}\nnoise\ndns:b Name: x\n') == {
        "http:a": '{"responses":["x"]}',
        "dns:b": "Name: x",
    }


def test_large_clusters_are_sampled(stack: Stack) -> None:
    many = outputs()
    nodes = many["regions"][1]["nodes"]
    many["regions"][1]["nodes"] = nodes + [
        {
            "name": f"gpu-w{i}",
            "role": "worker",
            "node_ip": f"10.1.0.{100 + i}",
            "pod_cidr": f"10.129.{100 + i}.0/24",
        }
        for i in range(9)
    ]
    names = [node.name for node in parse(many).participants]
    assert names == ["hub-cp-1", "hub-gw-1", "gpu-a", "gpu-c"]


def test_hidden_or_missing_outputs_are_explained() -> None:
    with pytest.raises(CheckError, match="show-secrets"):
        parse(outputs() | {"kubeconfig": "[secret]"})
    with pytest.raises(CheckError, match="regions"):
        parse({"plan": outputs()["plan"]})
    assert parse(outputs() | {"kubeconfig": "[secret]"}, "mine").kubeconfig == "mine"
