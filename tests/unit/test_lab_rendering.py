from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from pydantic import ValidationError

from lab import addresses, headscale, lxc, net
from lab.specs import MachineSpec, NetworkSpec, Rule
from tests.unit.lab_values import machine, network

FOLDER = Path("/lab/lxc/w")


def config(lan_routed: bool = False) -> list[str]:
    spec = network("routed" if lan_routed else "l2").spec
    return lxc.config(machine("w", 40), spec, FOLDER, Path("/image")).splitlines()


def test_a_machine_on_a_shared_lan_has_the_networks_prefix() -> None:
    assert "lxc.net.0.ipv4.address = 10.0.0.40/24" in config()


def test_a_machine_on_a_routed_lan_knows_nobody_but_its_router() -> None:
    assert "lxc.net.0.ipv4.address = 10.0.0.40/32" in config(lan_routed=True)
    assert "lxc.net.0.ipv4.gateway = 10.0.0.1" in config(lan_routed=True)


def test_a_machine_lies_over_the_image_and_its_cgroups_are_found_by_name() -> None:
    assert "lxc.rootfs.path = overlay:/image:/lab/lxc/w/delta" in config()
    assert "lxc.cgroup.dir.container = tailspan-lab/machine/w" in config()


def test_a_machines_link_and_mac_follow_from_its_address_and_fit_the_kernel() -> None:
    port = addresses.machine_port(IPv4Address("10.0.0.40"))
    assert port == "v0a000028"
    assert len(port) < 16
    assert addresses.machine_mac(IPv4Address("10.0.0.40")) == "02:74:0a:00:00:28"


def test_on_a_shared_lan_a_machine_is_attached_to_the_bridge_at_every_start() -> None:
    assert "ip link set v0a000028 master lan0 up" in lxc.attach_script(machine("w", 40), network().spec)


def test_on_a_routed_lan_the_routers_routes_come_back_at_every_start() -> None:
    script = lxc.attach_script(machine("w", 40), network("routed").spec)
    assert "ip route replace 10.0.0.40 dev v0a000028 src 10.0.0.1" in script
    assert "ip route replace 10.128.40.0/24 via 10.0.0.40 dev v0a000028 onlink" in script


def test_machines_have_different_identities() -> None:
    def identity(name: str) -> str:
        return lxc.files(machine(name, 40), network().spec, "ssh-ed25519 AAAA")["etc/machine-id"][1]

    assert identity("a") != identity("b")
    assert len(identity("a").strip()) == 32


def test_only_a_shared_lan_has_a_bridge() -> None:
    assert any("type bridge" in command for command in net.router_commands(network("l2")))
    routed = net.router_commands(network("routed"))
    assert not any("type bridge" in command for command in routed)
    assert "addr add 10.0.0.1/32 dev lo" in routed


def test_a_router_has_no_way_to_private_networks() -> None:
    assert "route add blackhole default" in net.router_commands(network())


def test_the_host_gets_one_link_and_one_address() -> None:
    assert [c for c in net.operator_commands() if c.startswith("addr")] == [
        "addr add 198.51.100.1/24 dev tsl-op"
    ]
    assert not any("route" in command for command in net.operator_commands())


def test_the_control_server_knows_no_relay_but_its_own() -> None:
    derp = headscale.config(Path("/lab/headscale"))["derp"]
    assert (derp["urls"], derp["paths"], derp["auto_update_enabled"]) == ([], [], False)
    assert derp["server"]["automatically_add_embedded_derp_region"]


def test_the_control_server_takes_its_policy_from_its_api() -> None:
    assert headscale.config(Path("/lab/headscale"))["policy"] == {"mode": "database"}


@pytest.mark.parametrize("name", ["", "Hub", "a_b", "-a", "a-", "1a", "a" * 41])
def test_a_name_that_cannot_be_a_host_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        NetworkSpec(name=name, cidr=IPv4Network("10.0.0.0/24"))
    with pytest.raises(ValidationError):
        MachineSpec(name=name, network="hub", role="worker", node_ip=IPv4Address("10.0.0.9"))


def test_the_labs_own_names_are_taken() -> None:
    with pytest.raises(ValidationError, match="taken by the lab itself"):
        NetworkSpec(name="inet", cidr=IPv4Network("10.0.0.0/24"))


def test_a_network_too_small_for_machines_is_refused() -> None:
    with pytest.raises(ValidationError, match="use a /29 or larger"):
        NetworkSpec(name="hub", cidr=IPv4Network("10.0.0.0/30"))


def test_a_tcp_rule_without_a_port_is_refused() -> None:
    with pytest.raises(ValidationError, match="need a port"):
        Rule(protocol="tcp", source=IPv4Network("0.0.0.0/0"))
