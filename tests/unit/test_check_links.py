"""Gateway links, nodes, transfers and the report."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.console import Console

from check import links, nodes, report, transfers
from check.cluster import Cluster, Pod, Run
from check.result import Result
from check.stack import Stack, parse
from tests.unit.test_check_traffic import outputs

PEER = {"HostName": "hub-gw-1", "TailscaleIPs": ["100.64.0.2"], "Online": True, "Relay": "lab", "CurAddr": ""}


@pytest.fixture
def stack() -> Stack:
    return parse(outputs())


class Scripted(Cluster):
    """A cluster whose pods answer from a list."""

    def __init__(self, *answers: str | Run) -> None:
        super().__init__("")
        self.answers = list(answers)
        self.commands: list[str] = []

    def exec(self, pod: str, command: Any, **_: Any) -> Run:
        self.commands.append(command[-1])
        answer = self.answers.pop(0)
        return answer if isinstance(answer, Run) else Run(code=0, out=answer, err="", seconds=0.1)


def judge(stack: Stack, **peer: Any) -> Result:
    gpu, hub = stack.nodes[2], stack.nodes[1]
    return links.judge(stack, gpu, hub, PEER | peer)


def test_a_direct_link_passes(stack: Stack) -> None:
    result = judge(stack, CurAddr="198.51.100.16:41641")
    assert (result.ok, result.subject, result.detail) == (
        True,
        "gpu-a to hub-gw-1",
        "direct, 198.51.100.16:41641",
    )


@pytest.mark.parametrize(
    ("peer", "detail", "cause"),
    [
        ({}, "DERP relay lab", "UDP 41641 closed towards hub-gw-1 (gateway_firewall of hub)"),
        ({"PeerRelay": "198.51.100.9:1:2"}, "peer relay", "UDP 41641 closed"),
        ({"CurAddr": "10.128.20.1:41641"}, "direct", "a tunnel inside a tunnel"),
        ({"CurAddr": "10.0.0.20:41641"}, "direct", "a tunnel inside a tunnel"),
        ({"Online": False}, "offline", "tailscaled of hub-gw-1"),
    ],
)
def test_any_other_link_says_why(stack: Stack, peer: dict[str, Any], detail: str, cause: str) -> None:
    result = judge(stack, **peer)
    assert not result.ok
    assert detail in result.detail
    assert cause in result.cause


def test_a_gateway_pings_before_it_looks(stack: Stack) -> None:
    status = json.dumps({"Peer": {"k": PEER | {"HostName": "hub-gw-1-g2"}, "old": PEER | {"Online": False}}})
    direct = status.replace('"CurAddr": ""', '"CurAddr": "198.51.100.16:41641"')
    cluster = Scripted(status, f"{links.MARK}\n{direct}")
    gateway = links.Gateway(pod=Pod(name="p", node="gpu-a", ip=""), socket="/s")
    (result,) = links.check_links(cluster, stack, stack.nodes[2], gateway)
    assert result.ok
    assert "tailscale --socket=/s ping --c 8 --timeout 1s 100.64.0.2" in cluster.commands[1]


def per_node(machines: int = 2) -> Stack:
    """The GPU region with every machine a device."""
    document = outputs()
    document["regions"][1] |= {
        "mode": "per-node",
        "nodes": [
            {
                "name": f"gpu-{number}",
                "role": "worker",
                "device": True,
                "node_ip": f"10.1.0.{number}",
                "pod_cidr": f"10.129.{number}.0/24",
            }
            for number in range(10, 10 + machines)
        ],
    }
    return parse(document)


def test_neighbours_of_a_per_node_region_may_meet_on_their_lan_and_nowhere_else_inside() -> None:
    stack = per_node()
    one, other = stack.regions[1].nodes
    assert links.judge(stack, one, other, PEER | {"CurAddr": "10.1.0.11:41641"}).ok
    for inside in ("10.129.11.1:41641", "10.1.0.10:41641"):
        assert "a tunnel inside" in links.judge(stack, one, other, PEER | {"CurAddr": inside}).cause


def test_a_device_is_asked_for_its_links_to_other_regions_and_to_its_neighbours() -> None:
    stack = per_node()
    gateway = links.Gateway(pod=Pod(name="p", node="gpu-10", ip=""), socket="/s")
    answers = Scripted('{"Peer": null}', f'{links.MARK}\n{{"Peer": null}}')
    found = links.check_links(answers, stack, stack.regions[1].nodes[0], gateway)
    assert [result.subject for result in found] == ["gpu-10 to hub-gw-1", "gpu-10 to gpu-11"]
    answers = Scripted('{"Peer": null}', f'{links.MARK}\n{{"Peer": null}}')
    found = links.check_links(answers, stack, stack.nodes[1], gateway)
    assert [result.subject for result in found] == ["hub-gw-1 to gpu-10", "hub-gw-1 to gpu-11"]


def test_of_many_devices_a_few_take_part() -> None:
    assert len(per_node(8).linked) == 1 + 8
    assert [node.name for node in per_node(50).linked] == ["hub-gw-1", "gpu-10", "gpu-11", "gpu-12", "gpu-13"]


def test_a_static_pod_that_does_not_show_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(Scripted):
        def pods(self, selector: str, namespace: str | None = None) -> list[dict[str, Any]]:
            self.commands.append(selector)
            pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "gpu-a", "containers": []}}
            return [pod] if len(self.commands) > 1 else []

    monkeypatch.setattr("check.links.OFTEN", 0.01)
    wanted = [node for node in parse(outputs()).nodes if node.name == "gpu-a"]
    assert links.await_gateways(Late(), wanted, 5).keys() == {"gpu-a"}
    assert links.await_gateways(Late(), wanted, 0) == {}


def test_a_gateway_without_pod_or_peer_fails(stack: Stack) -> None:
    (result,) = links.check_links(Scripted(), stack, stack.nodes[2], None)
    assert "no running pod subnet-router or apiserver-connector on gpu-a" in result.cause
    (result,) = links.check_links(
        Scripted('{"Peer": null}', f'{links.MARK}\n{{"Peer": null}}'),
        stack,
        stack.nodes[2],
        links.Gateway(pod=Pod(name="p", node="gpu-a", ip=""), socket="/s"),
    )
    assert result.detail == "not a peer"


def live(name: str, ip: str, pod_cidr: str, ready: str = "True", version: str = "v1.33.1") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": pod_cidr},
        "status": {
            "conditions": [{"type": "Ready", "status": ready, "reason": "R", "message": "CNI missing"}],
            "addresses": [{"type": "InternalIP", "address": ip}],
            "nodeInfo": {"kubeletVersion": version},
        },
    }


def all_live() -> list[dict[str, Any]]:
    return [
        live(node["name"], node["node_ip"], node["pod_cidr"])
        for region in outputs()["regions"]
        for node in region["nodes"]
    ]


def test_nodes_as_planned_pass(stack: Stack) -> None:
    results = nodes.judge_nodes(stack, all_live(), "v1.33.1")
    assert [result.ok for result in results] == [True, True]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (live("gpu-c", "10.1.0.12", "10.129.12.0/24", ready="False"), "CNI missing"),
        (live("gpu-c", "203.0.113.9", "10.129.12.0/24"), "outside 10.1.0.0/24"),
        (live("gpu-c", "10.1.0.12", "10.129.99.0/24"), "planned 10.129.12.0/24"),
        (live("gpu-c", "10.1.0.12", "10.129.12.0/24", version="v1.32.0"), "gpu-c runs v1.32.0"),
        (live("gpu-x", "10.1.0.12", "10.129.12.0/24"), "gpu-c is missing"),
    ],
)
def test_nodes_that_differ_from_the_plan_are_named(stack: Stack, changed: dict[str, Any], says: str) -> None:
    results = nodes.judge_nodes(stack, [*all_live()[:-1], changed], "v1.33.1")
    wrong = [result for result in results if not result.ok]
    assert any(says in result.detail + result.cause for result in wrong)
    assert all(result.cause for result in wrong)


@pytest.mark.parametrize(
    ("labels", "offered", "says"),
    [
        ({"tailspan.dev/gpu-count": "8", nodes.GPU_SOFTWARE: "device-plugin"}, {"nvidia.com/gpu": "8"}, ""),
        (
            {"tailspan.dev/gpu-count": "8", nodes.GPU_SOFTWARE: "device-plugin"},
            {"nvidia.com/gpu": "7"},
            "gpu-c offers 7 of 8 GPUs",
        ),
        ({"tailspan.dev/gpu-count": "8", nodes.GPU_SOFTWARE: "operator"}, {}, "gpu-c offers 0 of 8 GPUs"),
        # gpu_software: none, as in the lab.
        ({"tailspan.dev/gpu-count": "8"}, {}, ""),
    ],
)
def test_a_node_that_does_not_offer_its_gpus_is_named(
    stack: Stack, labels: dict[str, str], offered: dict[str, str], says: str
) -> None:
    node = live("gpu-c", "10.1.0.12", "10.129.12.0/24")
    node["metadata"]["labels"] = labels
    node["status"]["allocatable"] = offered
    results = nodes.judge_nodes(stack, [*all_live()[:-1], node], "v1.33.1")
    assert all(result.ok for result in results) is not bool(says)
    assert any(says in result.detail for result in results)


def test_a_pod_outside_its_nodes_range_is_found(stack: Stack) -> None:
    pods = {"gpu-c": Pod(name="p", node="gpu-c", ip="10.129.10.7")}
    (result,) = nodes.judge_probes({}, pods, stack)
    assert "outside 10.129.12.0/24" in result.detail


POD = Pod(name="p", node="gpu-c", ip="10.129.12.5")


def test_a_transfer_is_measured_and_compared() -> None:
    cluster = Scripted("0 100.00 102.00 abc /data/in")
    result = transfers.transfer(cluster, "hub", "gpu", POD, POD, "abc")
    assert (result.ok, result.detail) == (True, "100 MB at 50 MB/s, checksum right")


@pytest.mark.parametrize(
    ("answer", "checksum", "cause"),
    [
        ("0 1.0 2.0 other /data/in", "abc", "checksum differs"),
        ("143 1.0 46.0", "abc", "MSS clamp or MTU"),
        ("", None, "no room"),
    ],
)
def test_a_broken_transfer_says_why(answer: str, checksum: str | None, cause: str) -> None:
    result = transfers.transfer(Scripted(answer), "hub", "gpu", POD, POD, checksum)
    assert not result.ok
    assert cause in result.cause


@pytest.mark.parametrize(("after", "ok"), [("500 700000", True), ("100 30000000", False)])
def test_lan_traffic_on_the_tunnel_is_found(stack: Stack, after: str, ok: bool) -> None:
    region = stack.regions[1]
    pods = {node.name: Pod(name=node.name, node=node.name, ip=str(node.pod_cidr[5])) for node in region.nodes}
    once = ["100 100", "0 1.0 1.5 abc /data/in", after]
    cluster = Scripted("abc /data/20", *once, *once, *once)
    result = transfers.lan(cluster, region, pods, {"gpu-a": POD})
    assert result is not None
    assert result.ok is ok
    assert ok or "before Tailscale's 5210" in result.cause


@pytest.mark.parametrize(("after", "ok"), [("500 22000000", True), ("100 300000", False)])
def test_in_a_per_node_region_the_same_must_show_on_the_tunnels(after: str, ok: bool) -> None:
    region = per_node().regions[1]
    pods = {node.name: Pod(name=node.name, node=node.name, ip=str(node.pod_cidr[5])) for node in region.nodes}
    once = ["100 100", "100 100", "0 1.0 1.5 abc /data/in", after, "500 22000000"]
    result = transfers.lan(Scripted("abc /data/20", *once, *once, *once), region, pods, pods)
    assert result is not None
    assert (result.name, result.ok) == ("in-region traffic is encrypted", ok)
    assert ok or "in plain text" in result.cause


def test_a_region_of_one_node_has_no_lan_to_check(stack: Stack) -> None:
    assert transfers.lan(Scripted(), stack.regions[1], {"gpu-a": POD}, {}) is None


RESULTS = [
    Result(name="DNS", subject="hub", ok=True, detail="3 names", seconds=0.25),
    Result(name="nodes", subject="hub", ok=True),
    Result(name="DNS", subject="gpu", ok=False, detail="[x] fails", cause="CoreDNS of gpu"),
]


def test_the_table_groups_checks_and_names_causes() -> None:
    console = Console(record=True, width=120, force_terminal=False)
    report.as_table(RESULTS, 12.3, console)
    text = console.export_text()
    assert text.index("gpu") < text.index("nodes")
    assert "[x] fails" in text
    assert "likely: CoreDNS of gpu" in text
    assert "3 checks in 12 s: 1 FAILED" in text


def test_json_is_for_programs() -> None:
    document = json.loads(report.as_json(RESULTS, 12.34))
    assert document["ok"] is False
    assert document["results"][2]["cause"] == "CoreDNS of gpu"
    assert json.loads(report.as_json(RESULTS[:2], 1))["ok"] is True
    assert json.loads(report.as_json([], 1))["ok"] is False
