from __future__ import annotations

import re
from ipaddress import IPv4Address

import pytest

from lab import firewall
from lab.specs import Nat, Rule
from tests.unit.lab_values import EVERYBODY, OPERATOR_ONLY, lab, network

SSH = Rule(protocol="tcp", port=22, source=OPERATOR_ONLY)
WIREGUARD = Rule(protocol="udp", port=41641, source=EVERYBODY)


def rendered(nat: Nat | None = None, **rules: tuple[Rule, ...]) -> str:
    records = lab(**rules)
    hub = records.network("hub")
    hub.spec = hub.spec.model_copy(update={"nat": nat})
    return firewall.ruleset(hub, records.machines_of("hub"))


def chain(text: str, name: str) -> list[str]:
    body = re.search(rf"  chain {name} {{\n(.*?)  }}\n", text, re.DOTALL)
    assert body
    return [line.strip() for line in body[1].splitlines()]


def test_the_ruleset_replaces_itself_at_once() -> None:
    assert rendered().startswith("table inet lab\ndelete table inet lab\ntable inet lab {\n")


def test_without_firewalls_nothing_is_open() -> None:
    assert chain(rendered(), "ingress") == []
    assert "policy drop" in chain(rendered(), "forward")[0]
    assert "policy drop" in chain(rendered(), "input")[0]


def test_a_rule_opens_its_port_on_the_machines_of_its_target_only() -> None:
    assert chain(rendered(gateways=(WIREGUARD,)), "ingress") == [
        "ip daddr { 10.0.0.20 } ip saddr 0.0.0.0/0 udp dport 41641 accept"
    ]


def test_all_means_every_machine() -> None:
    assert chain(rendered(all_=(SSH,)), "ingress") == [
        "ip daddr { 10.0.0.5, 10.0.0.20, 10.0.0.40 } ip saddr 198.51.100.1/32 tcp dport 22 accept"
    ]


def test_icmp_has_no_port() -> None:
    rules = chain(rendered(workers=(Rule(protocol="icmp", source=EVERYBODY),)), "ingress")
    assert rules == ["ip daddr { 10.0.0.40 } ip saddr 0.0.0.0/0 meta l4proto icmp accept"]


def test_a_firewall_for_a_role_that_no_machine_has_opens_nothing() -> None:
    assert "198.51.100.1/32" not in firewall.ruleset(lab(gateways=(SSH,)).network("hub"), [])


def test_public_addresses_are_translated_one_to_one() -> None:
    text = rendered()
    assert (
        'iifname "up0" dnat ip to ip daddr map { 198.51.100.11 : 10.0.0.5, 198.51.100.12 : 10.0.0.20 }'
        in chain(text, "prerouting")
    )
    assert (
        'oifname "up0" snat ip to ip saddr map { 10.0.0.5 : 198.51.100.11, 10.0.0.20 : 198.51.100.12 }'
        in chain(text, "postrouting")
    )


def test_a_machine_without_public_address_gets_a_forwarded_ssh_port() -> None:
    forwarded = 'iifname "up0" ip daddr 198.51.100.10 tcp dport 2200 dnat ip to 10.0.0.40:22'
    assert forwarded in chain(rendered(), "prerouting")


def test_private_destinations_never_leave() -> None:
    rules = chain(rendered(nat="easy"), "forward")
    dropped = next(
        n for n, rule in enumerate(rules) if rule.startswith('oifname "up0" ip daddr { 10.0.0.0/8')
    )
    leaving = [n for n, rule in enumerate(rules) if 'oifname "up0" ip saddr' in rule]
    assert all(dropped < n for n in leaving)


def test_without_nat_only_machines_with_a_public_address_get_out() -> None:
    leaving = [rule for rule in chain(rendered(), "forward") if 'oifname "up0" ip saddr' in rule]
    assert leaving == ['iifname != "up0" oifname "up0" ip saddr { 10.0.0.5, 10.0.0.20 } accept']


@pytest.mark.parametrize(("nat", "end"), [("easy", ""), ("hard", " fully-random")])
def test_a_nat_hides_the_network_behind_its_router(nat: Nat, end: str) -> None:
    translated = f'oifname "up0" ip saddr 10.0.0.0/24 snat ip to 198.51.100.10{end}'
    # After the machines' own addresses: a public one wins.
    assert chain(rendered(nat=nat), "postrouting")[-1] == translated


def test_opens_tells_whether_the_operator_gets_in() -> None:
    records = lab(gateways=(SSH,), workers=(WIREGUARD,))
    hub, operator, stranger = (
        records.network("hub"),
        IPv4Address("198.51.100.1"),
        IPv4Address("198.51.100.99"),
    )
    assert firewall.opens(hub, records.machine("gw"), "tcp", 22, operator)
    assert not firewall.opens(hub, records.machine("gw"), "tcp", 22, stranger)
    assert not firewall.opens(hub, records.machine("gw"), "tcp", 6443, operator)
    assert not firewall.opens(hub, records.machine("w"), "tcp", 22, operator)
    assert not firewall.opens(network(), records.machine("gw"), "tcp", 22, operator)
