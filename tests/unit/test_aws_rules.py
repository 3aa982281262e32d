"""What Amazon would refuse, or what would fail there later, is refused by the plan."""

from __future__ import annotations

from typing import Any

import pytest

from config.schema import StackConfig
from network.plan import NetworkPlanError, plan_network
from tests.stacks import ROOT, put, stack_data

EXAMPLE = ROOT / "examples" / "Pulumi.aws-kubeadm.yaml"
VPC = {
    "id": "vpc-0a1b2c3d4e5f60718",
    "cidr": "10.0.0.0/20",
    "subnet": "subnet-0a1b2c3d4e5f60718",
    "route_tables": ["rtb-0a1b2c3d4e5f60718"],
}
Edits = list[tuple[str, Any]]


def planned(edits: Edits) -> tuple[str, ...]:
    data = stack_data(EXAMPLE)
    for path, value in edits:
        put(data, path, value)
    try:
        plan_network(StackConfig.model_validate(data))
    except NetworkPlanError as error:
        return error.problems
    return ()


def on_provider(**changes: Any) -> Edits:
    return [("regions.0.provider", stack_data(EXAMPLE)["regions"][0]["provider"] | changes)]


GPU = {"name": "rack-c", "node_ip": "10.3.0.12", "gpu": {"type": "H100", "count": 8}}


@pytest.mark.parametrize(
    "edits",
    [
        [],
        on_provider(vpc=VPC),
        on_provider(zone="us-east-1f"),
        [("regions.0.node_cidr", "10.0.0.0/16")],
        # The first and the last address that a machine may have.
        [("regions.0.control_plane.first_ip", "10.0.0.4"), ("regions.0.gateways.first_ip", "10.0.0.253")],
    ],
)
def test_what_amazon_takes_passes(edits: Edits) -> None:
    assert planned(edits) == ()


@pytest.mark.parametrize(
    ("edits", "said", "remedy"),
    [
        (
            on_provider(zone="us-east-2a"),
            "zone us-east-2a is not one of region us-east-1",
            "zone: us-east-1a",
        ),
        ([("regions.0.node_cidr", "10.0.0.0/15")], "node_cidr 10.0.0.0/15", "write a /16"),
        (
            [("regions.0.control_plane.first_ip", "10.0.0.3")],
            "machine hub-cp-1: node IP 10.0.0.3 is one of the 4 first addresses of 10.0.0.0/24",
            "write control_plane.first_ip: one of 10.0.0.4 to 10.0.0.254",
        ),
        (
            on_provider(vpc=VPC | {"cidr": "10.64.0.0/16"}),
            "provider.vpc.cidr 10.64.0.0/16 does not hold node_cidr 10.0.0.0/24",
            "write that subnet's range as node_cidr",
        ),
        (
            on_provider(vpc=VPC | {"cidr": "10.0.0.0/14"}),
            "provider.vpc.cidr 10.0.0.0/14 overlaps region rack's node_cidr 10.3.0.0/24",
            "write another node_cidr",
        ),
        (
            [*on_provider(vpc=VPC), ("regions.0.node_cidr", "10.0.1.0/24")],
            "has its resolver at 10.0.0.2, outside node_cidr and inside kubernetes.node_supernet 10.0.0.0/9",
            "write a subnet that holds it",
        ),
    ],
)
def test_what_amazon_would_refuse_is_refused_with_a_remedy(edits: Edits, said: str, remedy: str) -> None:
    lines = [line for line in planned(edits) if said in line]
    assert len(lines) == 1
    assert remedy in lines[0]


def test_a_range_too_small_for_a_subnet_is_refused() -> None:
    edits = [
        ("regions.0.node_cidr", "10.0.0.0/29"),
        ("regions.0.control_plane.first_ip", "10.0.0.4"),
        ("regions.0.gateways", {"count": 1, "first_ip": "10.0.0.5"}),
        ("regions.0.node_groups", []),
    ]
    assert [line for line in planned(edits) if "write a /28" in line]


def test_a_gpu_without_an_instance_type_is_refused() -> None:
    region = {
        **stack_data(EXAMPLE)["regions"][1],
        "provider": stack_data(EXAMPLE)["regions"][0]["provider"],
        "machines": [{"name": "rack-a", "node_ip": "10.3.0.10", "gateway": True}, GPU],
    }
    lines = planned([("regions.1", region)])
    assert len(lines) == 1
    assert "machine rack-c: has gpu H100, but no machine_type" in lines[0]
