"""Risk: two networks with the same addresses."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi_policy import PolicyResource

from policy.rules.addresses import ADDRESS_MAP_HAS_NO_OVERLAP, NETWORKS_HAVE_NO_OVERLAP
from policy.rules.known import ADDRESS_MAP, AWS_VPC, GCP_SUBNETWORK, LAB_NETWORK
from tests.policy.judge import UNKNOWN, on_resource, on_stack, resource


def address_map(**gpu: Any) -> dict[str, Any]:
    return {
        "serviceCidr": "10.96.0.0/16",
        "regions": [
            {"name": "hub", "nodeCidr": "10.0.0.0/24", "podCidr": "10.128.0.0/16"},
            {"name": "gpu", "nodeCidr": "10.1.0.0/24", "podCidr": "10.129.0.0/16"} | gpu,
        ],
    }


def judge_map(**gpu: Any) -> list[str]:
    return on_resource(ADDRESS_MAP_HAS_NO_OVERLAP, ADDRESS_MAP, "address-map", address_map(**gpu))


def judge_stack(*resources: PolicyResource, mapped: bool = True) -> list[str]:
    own = [resource(ADDRESS_MAP, "address-map", address_map())] if mapped else []
    return on_stack(NETWORKS_HAVE_NO_OVERLAP, *own, *resources)


def lab(name: str, cidr: str) -> PolicyResource:
    return resource(LAB_NETWORK, name, {"name": name, "cidr": cidr, "lan": "l2"})


def test_disjoint_regions_pass() -> None:
    assert judge_map() == []


@pytest.mark.parametrize(
    ("gpu", "said"),
    [
        (
            {"nodeCidr": "10.0.0.128/25"},
            "region gpu: node_cidr 10.0.0.128/25 overlaps region hub: node_cidr "
            "10.0.0.0/24. Write a range that nothing "
            "else uses for region gpu under tailspan:stack in the stack file, for example "
            "node_cidr: 10.0.1.0/25.",
        ),
        ({"podCidr": "10.128.0.0/16"}, "for example pod_cidr: 10.129.0.0/16."),
        (
            {"nodeCidr": "10.96.1.0/24"},
            "region gpu: node_cidr 10.96.1.0/24 overlaps kubernetes: service_cidr",
        ),
        (
            {"podCidr": "10.1.0.0/16"},
            "region gpu: pod_cidr 10.1.0.0/16 overlaps region gpu: node_cidr 10.1.0.0/24",
        ),
        (
            {"nodeCidr": "ten"},
            "region gpu: node_cidr 'ten' is not an IPv4 range. Write one such as 10.1.0.0/24.",
        ),
    ],
)
def test_an_overlap_in_the_stack_file_is_refused_with_a_free_range(gpu: dict[str, str], said: str) -> None:
    (message,) = judge_map(**gpu)
    assert said in message


def test_an_unknown_range_is_said_to_be_unjudged() -> None:
    (message,) = judge_map(nodeCidr=UNKNOWN)
    assert "could not be judged, input regions.1.nodeCidr is not known in this preview" in message


def test_other_resources_are_not_this_rules_business() -> None:
    assert on_resource(ADDRESS_MAP_HAS_NO_OVERLAP, LAB_NETWORK, "gpu", {"cidr": "10.1.0.0/24"}) == []


def test_networks_that_make_the_planned_ranges_pass() -> None:
    subnetwork = {
        "name": "tailspan-hub",
        "ipCidrRange": "10.0.0.0/24",
        "secondaryIpRanges": [{"rangeName": "pods", "ipCidrRange": "10.128.0.0/16"}],
    }
    vpc = resource(AWS_VPC, "gpu-vpc", {"cidrBlock": "10.1.0.0/20"})
    assert judge_stack(lab("hub", "10.0.0.0/24"), lab("gpu", "10.1.0.0/24")) == []
    assert judge_stack(resource(GCP_SUBNETWORK, "hub", subnetwork), vpc) == []


@pytest.mark.parametrize(
    ("stranger", "said"),
    [
        (lab("office", "10.1.0.0/16"), "lab network office: cidr 10.1.0.0/16 overlaps region gpu: node_cidr"),
        (lab("office", "10.1.0.0/24"), "lab network office: cidr 10.1.0.0/24 overlaps region gpu: node_cidr"),
        (
            resource(GCP_SUBNETWORK, "db", {"ipCidrRange": "10.0.0.0/20"}),
            "subnetwork db: ipCidrRange 10.0.0.0/20 overlaps region hub: node_cidr "
            "10.0.0.0/24. Write a range that "
            "nothing else uses for subnetwork db in its inputs, for example ipCidrRange: 10.0.16.0/20.",
        ),
        (
            resource(
                GCP_SUBNETWORK,
                "db",
                {
                    "ipCidrRange": "10.9.0.0/24",
                    "secondaryIpRanges": [{"rangeName": "x", "ipCidrRange": "10.129.64.0/18"}],
                },
            ),
            "subnetwork db, secondary range x: ipCidrRange 10.129.64.0/18 overlaps region gpu: pod_cidr",
        ),
        (
            resource(AWS_VPC, "legacy", {"cidrBlock": "10.96.0.0/12"}),
            "overlaps kubernetes: service_cidr 10.96.0.0/16",
        ),
        (
            resource(AWS_VPC, "legacy", {"cidrBlock": UNKNOWN}),
            "could not be judged, input cidrBlock is not known",
        ),
    ],
)
def test_networks_of_others_may_not_overlap_the_plan(stranger: PolicyResource, said: str) -> None:
    (message,) = judge_stack(stranger)
    assert said in message


def test_two_networks_of_others_may_not_overlap_each_other() -> None:
    strangers = (resource(AWS_VPC, "a", {"cidrBlock": "172.20.0.0/16"}), lab("b", "172.20.1.0/24"))
    (message,) = judge_stack(*strangers, mapped=False)
    assert "lab network b: cidr 172.20.1.0/24 overlaps VPC a: cidrBlock 172.20.0.0/16" in message


def test_the_address_maps_own_overlap_is_reported_once() -> None:
    broken = resource(ADDRESS_MAP, "address-map", address_map(nodeCidr="10.0.0.0/24"))
    assert on_stack(NETWORKS_HAVE_NO_OVERLAP, broken) == []
    assert len(judge_map(nodeCidr="10.0.0.0/24")) == 1


def test_a_network_without_a_range_passes() -> None:
    assert judge_stack(resource(AWS_VPC, "ipam", {"ipv4IpamPoolId": "pool-1"})) == []
