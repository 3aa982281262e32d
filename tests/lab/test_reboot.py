"""Machines that go down and come back: everything on them returns by itself."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import cloud
from tests.lab import witness
from tests.lab.stand import FIGURES, Stand, all_ready, console, nodes, ready, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

REBOOTED = ("gpu-c", "hub-gw-2", "gpu-b")
# Set by the bootstrap or by Tailscale; kube-proxy's and the CNI's come and go with pods.
FACTS = """
nft list table inet tailspan
echo; ip rule | awk '{print $1, $2, $3, $4, $5, $6, $7}'
ip route show proto 177
ip route show table 52 2>/dev/null | sort
sysctl net.ipv4.ip_forward net.ipv4.conf.all.rp_filter net.bridge.bridge-nf-call-iptables
ip -d link show tailspan0 2>/dev/null | grep vxlan || true
"""


def cut_power(machine: str) -> None:
    cloud.power_off(machine)
    time.sleep(2)
    cloud.power_on(machine)


@pytest.fixture(scope="module")
def facts_before(dev: Stand) -> dict[str, str]:
    """A plain node and a hub gateway are rebooted, a GPU gateway loses its power, all at the same time."""
    facts = {name: console(name, FACTS) for name in REBOOTED}
    boots = {name: nodes()[name]["status"]["nodeInfo"]["bootID"] for name in REBOOTED}
    begun = time.monotonic()
    with ThreadPoolExecutor() as threads:
        ways = {"gpu-c": cloud.reboot, "hub-gw-2": cloud.reboot, "gpu-b": cut_power}
        list(threads.map(lambda item: item[1](item[0]), ways.items()))

    def back() -> bool:
        found = nodes()
        old = [name for name in REBOOTED if found[name]["status"]["nodeInfo"]["bootID"] == boots[name]]
        assert not old, f"not heard of since: {', '.join(old)}"
        return all(ready(node) for node in found.values())

    until("rebooted machines are Ready by themselves", back, 120)
    FIGURES.append(f"three machines rebooted at once, all Ready again: {time.monotonic() - begun:.0f} s")
    return facts


@pytest.mark.parametrize("machine", REBOOTED)
def test_routes_rules_and_packet_filter_come_back(facts_before: dict[str, str], machine: str) -> None:
    def same() -> bool:
        now = console(machine, FACTS)
        changed = set(facts_before[machine].splitlines()) ^ set(now.splitlines())
        assert not changed, f"different since the reboot: {sorted(changed)}"
        return now == facts_before[machine]

    assert "table inet tailspan" in facts_before[machine]
    until(f"{machine} has its routes, rules and packet filter again", same, 40)


@pytest.mark.parametrize(
    ("one", "other"),
    [("gpu-c", "hub-gw-2"), ("gpu-b", "hub-gw-2"), ("gpu-c", "hub-cp-1"), ("gpu-b", "gpu-c")],
)
def test_pods_reach_each_other_again(facts_before: dict[str, str], one: str, other: str) -> None:
    witness.sees(one, other, within=60)
    witness.sees(other, one)


def test_a_rebooted_gateway_is_no_new_device(facts_before: dict[str, str]) -> None:
    from tests.lab.stand import tailnet_devices

    def online() -> bool:
        return all(device["online"] for device in tailnet_devices().values())

    until("every gateway is online in the tailnet", online, 30)
    assert sorted(tailnet_devices()) == ["gpu-a", "gpu-b", "hub-gw-1", "hub-gw-2"]
    assert all_ready()
