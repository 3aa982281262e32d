"""What a region's machines accept from outside: exactly what the stack file says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.components.deploy import deployed
from tests.components.stacks import dev, private_api

OPERATORS = ["198.51.100.1/32", "192.0.2.0/28"]
WIREGUARD = ("udp", 41641, "0.0.0.0/0")

Opening = tuple[str, int, str]


def openings(name: str, *edits: tuple[str, Any]) -> set[Opening]:
    ingress = deployed(dev(*edits))[name].inputs["ingress"]
    return {(rule["protocol"], int(rule["port"]), rule["source"]) for rule in ingress}


def ssh(*sources: str) -> set[Opening]:
    return {("tcp", 22, source) for source in sources}


@pytest.mark.parametrize("name", ["hub-gateways-firewall", "gpu-gateways-firewall"])
def test_gateways_open_what_the_file_lists_and_ssh_to_the_operator(name: str) -> None:
    assert openings(name) == {WIREGUARD, *ssh("198.51.100.1/32")}


def test_a_region_opens_what_itself_lists_and_nothing_of_another() -> None:
    edits: tuple[tuple[str, Any], ...] = (
        ("regions.0.gateway_firewall.0.source", "192.0.2.128/25"),
        ("regions.1.gateway_firewall", []),
    )
    operators = ssh("198.51.100.1/32")
    assert openings("hub-gateways-firewall", *edits) == {("udp", 41641, "192.0.2.128/25"), *operators}
    assert openings("gpu-gateways-firewall", *edits) == operators


def test_machines_that_are_no_gateways_are_not_open_to_everybody() -> None:
    assert openings("gpu-workers-firewall") == ssh("198.51.100.1/32")
    sources = {source for _, _, source in openings("hub-control-plane-firewall")}
    assert sources == {"198.51.100.1/32"}


def test_ssh_is_open_to_the_listed_sources_and_to_no_other() -> None:
    edit = ("access.allow", OPERATORS)
    for name in ("hub-gateways-firewall", "gpu-gateways-firewall", "gpu-workers-firewall"):
        assert {item for item in openings(name, edit) if item[1] == 22} == ssh(*OPERATORS)


def test_a_public_api_server_is_open_to_the_listed_sources() -> None:
    api = {("tcp", 6443, source) for source in OPERATORS}
    assert openings("hub-control-plane-firewall", ("access.allow", OPERATORS)) == api | ssh(*OPERATORS)


def test_an_api_server_inside_the_tailnet_is_not_open_at_all() -> None:
    ingress = deployed(private_api())["hub-control-plane-firewall"].inputs["ingress"]
    assert {(rule["port"], rule["source"]) for rule in ingress} == {(22, source) for source in OPERATORS}


def test_only_the_control_plane_opens_the_api_servers_port() -> None:
    firewalls = deployed(dev()).of("Firewall")
    opens = {name for name in firewalls if any(port == 6443 for _, port, _ in openings(name))}
    assert opens == {"hub-control-plane-firewall"}


def test_every_role_that_a_region_has_machines_of_has_a_firewall() -> None:
    recording = deployed(dev())
    machines = {
        (machine.inputs["network"], machine.inputs["role"])
        for machine in recording.of("lab:index:Machine").values()
    }
    guarded = {
        (firewall.inputs["network"], firewall.inputs["target"].removesuffix("s"))
        for firewall in recording.of("Firewall").values()
    }
    assert guarded == machines


def test_regions_state_their_openings_for_the_policies() -> None:
    rule = {"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}
    for name in ("hub", "gpu"):
        assert deployed(dev())[name].inputs["gatewayFirewall"] == [rule]


def test_regions_state_what_ceilings_are_judged_by() -> None:
    stated = ("devices", "gpus", "usdPerHour", "podsPerNode", "podAddressesPerNode")
    hub, gpu = (deployed(dev())[name].inputs for name in ("hub", "gpu"))
    assert [hub[key] for key in stated] == [2, 0, 0, 110, 256]
    assert [gpu[key] for key in stated] == [2, 24, 45.6, 110, 256]
