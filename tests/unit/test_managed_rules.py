"""Control planes that a cloud runs: what GKE and EKS would refuse, or what would fail there, the plan refuses."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from config.schema import StackConfig
from network.managed import managed_ranges
from network.plan import NetworkPlanError, plan_network
from network.tailnet_policy import tailnet_policy
from outputs import _changed_cluster
from tests.components.managed import AWS, EKS, GCP, GKE, data, eks, gke
from tests.stacks import put, ssh_region

Edits = list[tuple[str, Any]]
RACK = ssh_region(node_cidr="10.3.0.0/24", pod_cidr="10.135.0.0/16")


def gke_says(edits: Edits) -> tuple[str, ...]:
    return _says(data(GKE, GCP), edits)


def eks_says(edits: Edits) -> tuple[str, ...]:
    return _says(data(EKS, AWS, ("access.api", "tailnet")), edits)


def _says(stack: dict[str, Any], edits: Edits) -> tuple[str, ...]:
    for path, value in edits:
        put(stack, path, value)
    try:
        plan_network(StackConfig.model_validate(stack))
    except NetworkPlanError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("length", range(16, 26))
def test_the_parts_of_a_region_lie_in_it_and_apart(length: int) -> None:
    node, pod = IPv4Network(f"10.64.0.0/{length}"), IPv4Network("10.128.0.0/14")
    parts = managed_ranges(node, pod)
    nodes = [parts.machines, parts.workers, *parts.endpoints]
    pods = [parts.machine_pods, parts.worker_pods]
    for whole, found in ((node, nodes), (pod, pods)):
        assert all(part.subnet_of(whole) for part in found)
        assert not [(a, b) for a in found for b in found if a is not b and a.overlaps(b)]


@pytest.mark.parametrize(
    "edits", [[], [("kubernetes.version", "1.36.0")], [("regions.0.node_cidr", "10.0.0.0/25")]]
)
def test_what_google_takes_passes(edits: Edits) -> None:
    assert gke_says(edits) == ()


def test_what_amazon_takes_passes() -> None:
    assert eks_says([]) == ()


@pytest.mark.parametrize(
    ("edits", "said", "remedy"),
    [
        (
            [("kubernetes.version", "1.34.9")],
            "deletes every node that is no machine of its project",
            "1.35.0 or later",
        ),
        ([("access.api", "tailnet")], "before there is a way through them", "access.api: public"),
        ([("regions.0.name", "a" * 29)], "the region's name has 29 characters", "at most 28"),
        (
            [("regions.0.name", "a" * 28), ("regions.0.gateways", {"count": 1, "shape": "node-pool"})],
            "the region's name has 28 characters",
            "at most 27",
        ),
        (
            [("regions.0.node_cidr", "10.0.0.0/25"), ("regions.0.node_groups.0.count", 40)],
            "28 addresses, and the node groups need 41 while they are upgraded",
            "a larger node_cidr",
        ),
        (
            [("regions.0.node_groups.0.machine_type", "a3-highgpu-8g")],
            "machine_type a3-highgpu-8g has GPUs",
            "a region of kind gpu",
        ),
        ([("regions.0.node_groups.0.name", "c" * 29)], "has 33 characters", "at most 32"),
        (
            [
                ("regions.1.gpu_software", "operator"),
                ("regions.1.machines.0.gpu", {"type": "H100", "count": 8}),
            ],
            "tolerate no machine outside",
            "gpu_software: device-plugin",
        ),
        ([("regions.0.cni", "cilium")], "cni cilium in the cloud region", "cni: plain"),
        ([("regions.0.node_groups", [])], "no node group has a machine", "node_groups: [{name: cpu"),
        (
            [("regions.0.node_groups.0.first_ip", "10.0.0.40")],
            "the cloud hands out its addresses",
            "remove first_ip",
        ),
        (
            [("regions.0.node_cidr", "10.0.0.0/26")],
            "has no room for machines, the cloud's nodes",
            "a /25 or larger",
        ),
        ([("regions.0.gateways.first_ip", "10.0.2.20")], "which is the cloud's", "an address in 10.0.0.0/23"),
        (
            [("regions.0.node_groups.0.count", 600)],
            "holds /24 ranges for 512 of GKE's nodes",
            "a larger pod_cidr",
        ),
        (
            [("regions.1.node_cidr", "100.0.0.0/24")],
            "is no private range (RFC 1918)",
            "one inside 10.0.0.0/8",
        ),
        ([("regions.0.provider", {"kind": "lab", "lan": "l2"})], "runs on gcp only", "{kind: kubeadm}"),
    ],
)
def test_what_google_would_refuse_is_refused_with_a_remedy(edits: Edits, said: str, remedy: str) -> None:
    lines = [line for line in gke_says(edits) if said in line]
    assert lines, gke_says(edits)
    assert remedy in lines[0]


def many(count: int) -> list[dict[str, Any]]:
    hub = data(EKS, AWS)["regions"][0]
    racks = [
        ssh_region(
            name=f"r{number}",
            node_cidr=f"10.4.{number}.0/24",
            pod_cidr=f"10.{140 + number}.0.0/16",
            machines=[
                RACK["machines"][0]
                | {
                    "name": f"r{number}-a",
                    "node_ip": f"10.4.{number}.10",
                    "address": f"198.51.100.{number + 10}",
                }
            ],
        )
        for number in range(count)
    ]
    return [hub, *racks]


@pytest.mark.parametrize(
    ("edits", "said", "remedy"),
    [
        ([("regions.0.name", "a" * 40)], "the region's name has 40 characters", "at most 39"),
        (
            [("regions.0.name", "a" * 36), ("regions.0.node_groups.0.name", "c" * 20)],
            "has 57 characters",
            "at most 55",
        ),
        ([("regions.0.node_groups.0.machine_type", "g6.xlarge")], "has accelerators", "a region of kind gpu"),
        (
            [
                ("kubernetes.pod_supernet", "172.16.0.0/12"),
                ("regions.0.pod_cidr", "172.16.0.0/14"),
                ("regions.1.pod_cidr", "172.24.0.0/16"),
            ],
            "is not in 10.0.0.0/8 as node_cidr is",
            "a pod_cidr in 10.0.0.0/8",
        ),
        (
            [("access.api", "public"), ("access.allow", ["192.0.2.1/32"])],
            "that nobody knows here",
            "access.api: tailnet",
        ),
        ([("regions.0.control_plane.second_zone", "us-east-1a")], "with zone us-east-1a", "us-east-1b"),
        (
            [("regions.0.control_plane.second_zone", "us-west-2a")],
            "another availability zone of us-east-1",
            "us-east-1b",
        ),
        ([("regions", many(16))], "16 other regions, and EKS knows 15 ranges", "fewer regions"),
    ],
)
def test_what_amazon_would_refuse_is_refused_with_a_remedy(edits: Edits, said: str, remedy: str) -> None:
    lines = [line for line in eks_says(edits) if said in line]
    assert lines, eks_says(edits)
    assert remedy in lines[0]


def test_fifteen_other_regions_are_not_too_many() -> None:
    assert not [line for line in eks_says([("regions", many(15))]) if "ranges of remote nodes" in line]


def test_a_group_of_planned_machines_says_where_it_begins() -> None:
    plane = {"kind": "kubeadm", "machines": 1}
    (line,) = gke_says([("regions.0.control_plane", plane)])
    assert "node_groups[0].first_ip is missing" in line


@pytest.mark.parametrize("config", [gke(), eks()], ids=["gke", "eks"])
def test_a_cloud_that_runs_the_control_plane_has_no_machine_for_it(config: StackConfig) -> None:
    plan = plan_network(config)
    assert [node.name for node in plan.hub.nodes] == ["hub-gw-1", "hub-gw-2"]
    assert plan.api_address is None
    # The cloud's own DNS has the tenth address.
    assert str(plan.dns_ip) == "10.96.0.11"
    assert plan.hub.reach == "tunnel"
    ports = {port for grant in tailnet_policy(plan)["grants"] for port in grant["ip"]}
    assert "tcp:443" in ports
    assert "tcp:6443" not in ports


@pytest.mark.parametrize(
    ("running", "after", "said"),
    [
        ({"version": "1.35.2", "control_plane": "gke"}, "1.35.9", []),
        ({"version": "1.35.2", "control_plane": "gke"}, "1.36.0", []),
        ({"version": "1.36.2", "control_plane": "gke"}, "1.35.2", ["write the next minor"]),
        ({"version": "1.35.2", "control_plane": "gke"}, "1.37.0", ["write the next minor"]),
        ({"version": "1.35.2"}, "1.35.2", ["the running cluster's is kubeadm, the stack file says gke"]),
        ({"version": "1.35.2", "control_plane": "eks"}, "1.35.2", ["another one is another cluster"]),
        ({}, "1.36.0", []),
    ],
)
def test_a_running_cluster_keeps_its_kind_and_goes_one_minor_up(
    running: dict[str, str], after: str, said: list[str]
) -> None:
    config = gke(("kubernetes.version", after))
    outputs = {"kubernetes": running} if running else {}
    found = _changed_cluster(outputs, plan_network(config), config.kubernetes)
    assert len(found) == len(said)
    assert all(words in line for words, line in zip(said, found, strict=True))
