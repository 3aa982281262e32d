"""Risk: a gateway that cannot be reached at Tailscale's port."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi_policy import PolicyResource

from policy.rules.known import (
    AWS_GROUP,
    AWS_INGRESS,
    GCP_FIREWALL,
    LAB_FIREWALL,
    LAB_MACHINE,
    REGION_TYPES,
    TAILNET_KEY,
)
from policy.rules.reachability import FIREWALLS_OPEN_WIREGUARD, REGIONS_OPEN_WIREGUARD
from tests.policy.judge import UNKNOWN, on_resource, on_stack, resource

# As the engine sends numbers: floats.
OPEN = {"protocol": "udp", "port": 41641.0, "source": "0.0.0.0/0"}
SSH = {"protocol": "tcp", "port": 22.0, "source": "198.51.100.1/32"}


# What shows that a stack has to do with Tailscale, so that its gateways are a tailnet's.
TAILNET = resource(TAILNET_KEY, "gateway-key", {"reusable": False, "tags": ["tag:hub"]})


def judge(*resources: PolicyResource) -> list[str]:
    return on_stack(FIREWALLS_OPEN_WIREGUARD, TAILNET, *resources)


@pytest.mark.parametrize("kind", REGION_TYPES)
def test_a_region_that_opens_the_port_passes(kind: str) -> None:
    assert (
        on_resource(REGIONS_OPEN_WIREGUARD, kind, "gpu", {"name": "gpu", "gatewayFirewall": [SSH, OPEN]})
        == []
    )


@pytest.mark.parametrize("kind", REGION_TYPES)
@pytest.mark.parametrize(
    "rules",
    [
        None,
        [],
        [SSH],
        [OPEN | {"protocol": "tcp"}],
        [OPEN | {"port": 41642.0}],
        [OPEN | {"port": None}],
        [OPEN | {"source": "10.0.0.0/8"}],
    ],
)
def test_a_region_that_does_not_open_the_port_is_told_what_to_write(
    kind: str, rules: list[Any] | None
) -> None:
    (message,) = on_resource(REGIONS_OPEN_WIREGUARD, kind, "gpu", {"name": "gpu", "gatewayFirewall": rules})
    assert message == (
        "region gpu: UDP 41641 is not open from 0.0.0.0/0, so other regions' gateways "
        "cannot connect directly and "
        "traffic is relayed. To mend it, write "
        "{protocol: udp, port: 41641, source: 0.0.0.0/0} under the region's "
        "gateway_firewall in the stack file."
    )


def test_an_unknown_opening_of_a_region_is_said_to_be_unjudged() -> None:
    rules = [OPEN | {"source": UNKNOWN}]
    (message,) = on_resource(REGIONS_OPEN_WIREGUARD, REGION_TYPES[0], "hub", {"gatewayFirewall": rules})
    assert "region hub: could not be judged, input gatewayFirewall.0.source is not known" in message


def test_other_resources_are_not_this_rules_business() -> None:
    assert on_resource(REGIONS_OPEN_WIREGUARD, LAB_FIREWALL, "x", {}) == []
    assert judge(resource("lab:index:Network", "gpu", {"name": "gpu"})) == []


def lab(target: str, *rules: dict[str, Any], network: str = "gpu") -> PolicyResource:
    return resource(
        LAB_FIREWALL, f"{network}-{target}", {"network": network, "target": target, "ingress": list(rules)}
    )


@pytest.mark.parametrize(
    "firewalls",
    [
        [lab("gateways", OPEN)],
        [lab("all", OPEN, SSH)],
        [lab("all", SSH), lab("gateways", OPEN)],
        [lab("control-plane", SSH)],
    ],
)
def test_lab_firewalls_that_open_the_port_together_pass(firewalls: list[PolicyResource]) -> None:
    assert judge(*firewalls) == []


@pytest.mark.parametrize(
    "resources",
    [
        [lab("gateways", SSH)],
        [lab("all")],
        [lab("gateways"), lab("gateways", OPEN, network="hub")],
        [lab("control-plane", OPEN), resource(LAB_MACHINE, "gpu-a", {"network": "gpu", "role": "gateway"})],
    ],
)
def test_a_lab_network_whose_gateways_are_closed_is_refused(resources: list[PolicyResource]) -> None:
    (message,) = judge(*resources)
    assert message.startswith("lab network gpu: UDP 41641 is not open from 0.0.0.0/0")
    assert (
        "write {protocol: udp, port: 41641, source: 0.0.0.0/0} under gateway_firewall of region gpu"
        in message
    )


def test_an_unknown_lab_firewall_is_said_to_be_unjudged_unless_another_opens_the_port() -> None:
    unknown = resource(LAB_FIREWALL, "late", {"network": "gpu", "target": "all", "ingress": UNKNOWN})
    (message,) = judge(unknown)
    assert "lab firewall late: could not be judged, input ingress is not known" in message
    assert judge(unknown, lab("gateways", OPEN)) == []


def test_a_firewall_of_an_unknown_network_is_said_to_be_unjudged() -> None:
    (message,) = judge(
        resource(LAB_FIREWALL, "late", {"network": UNKNOWN, "target": "all", "ingress": [OPEN]})
    )
    assert "lab:index:Firewall late: could not be judged, input network is not known" in message


def gcp(name: str = "wireguard", **inputs: Any) -> PolicyResource:
    props: dict[str, Any] = {
        "allows": [{"protocol": "udp", "ports": ["41641"]}],
        "sourceRanges": ["0.0.0.0/0"],
        "targetTags": ["tailspan-gateway"],
    }
    return resource(GCP_FIREWALL, name, props | inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"allows": [{"protocol": "udp", "ports": ["41000-42000"]}]},
        {"allows": [{"protocol": "17"}]},
        {"allows": [{"protocol": "tcp", "ports": ["22"]}, {"protocol": "all"}]},
        {"targetTags": ["database"], "allows": []},
    ],
)
def test_gcp_firewalls_that_open_the_port_pass(inputs: dict[str, Any]) -> None:
    assert judge(gcp(**inputs)) == []


def test_a_gcp_rule_for_every_machine_opens_gateways_too() -> None:
    assert judge(gcp("ssh", allows=[{"protocol": "tcp", "ports": ["22"]}]), gcp(targetTags=None)) == []


@pytest.mark.parametrize(
    "inputs",
    [
        {"allows": [{"protocol": "tcp", "ports": ["41641"]}]},
        {"allows": [{"protocol": "udp", "ports": ["41642-50000"]}]},
        {"allows": None, "denies": [{"protocol": "udp"}]},
        {"sourceRanges": ["10.0.0.0/8"]},
        {"direction": "EGRESS"},
        {"disabled": True},
    ],
)
def test_gcp_gateways_that_stay_closed_are_refused(inputs: dict[str, Any]) -> None:
    (message,) = judge(gcp(**inputs))
    assert "machines tagged tailspan-gateway: UDP 41641 is not open" in message
    assert (
        "add a firewall rule with allows udp 41641, sourceRanges 0.0.0.0/0 and targetTags tailspan-gateway"
        in message
    )


def test_unknown_gcp_sources_are_said_to_be_unjudged() -> None:
    (message,) = judge(gcp(sourceRanges=UNKNOWN))
    assert "firewall wireguard: could not be judged, input sourceRanges is not known" in message


AWS_OPEN = {"protocol": "udp", "fromPort": 41641.0, "toPort": 41641.0, "cidrBlocks": ["0.0.0.0/0"]}


def aws(*ingress: dict[str, Any], name: str = "hub-gateways") -> PolicyResource:
    return resource(AWS_GROUP, name, {"ingress": list(ingress)})


def ingress(group: PolicyResource, **inputs: Any) -> PolicyResource:
    props = {
        "securityGroupId": UNKNOWN,
        "ipProtocol": "udp",
        "fromPort": 41000,
        "toPort": 42000,
        "cidrIpv4": "0.0.0.0/0",
    }
    return resource(AWS_INGRESS, "wireguard", props | inputs, securityGroupId=[group])


@pytest.mark.parametrize(
    "group",
    [aws(AWS_OPEN), aws(AWS_OPEN | {"protocol": "-1", "fromPort": 0, "toPort": 0}), aws(name="database")],
)
def test_security_groups_that_open_the_port_pass(group: PolicyResource) -> None:
    assert judge(group) == []


def test_a_separate_ingress_rule_opens_its_group() -> None:
    group, other = aws(), aws(name="other-gateway")
    assert judge(group, ingress(group)) == []
    assert len(judge(group, other, ingress(group))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "tcp"},
        {"fromPort": 41642},
        {"toPort": 41640},
        {"cidrBlocks": ["10.0.0.0/8"]},
        {"toPort": None},
    ],
)
def test_a_security_group_of_gateways_that_stays_closed_is_refused(change: dict[str, Any]) -> None:
    (message,) = judge(aws(AWS_OPEN | change))
    assert "add an ingress rule with protocol udp, ports 41641 to 41641 and 0.0.0.0/0" in message
