"""Reverse path filters: the agent keeps rp_filter loose, and its probes fail by others where pods' packets do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.config import AgentConfig, Timing
from agent.core.claims import Claims
from agent.core.fitness import Own
from agent.core.gateway import GatewayCore
from lab.rig import result
from lab.rig.catalogue import EVENTS
from tests.failover.test_agent_kernel import config, on_a_machine
from tests.failover.test_rig import rig

STRICT = (
    "for file in all default eth0 tailscale0 other; do echo 1 >/proc/sys/net/ipv4/conf/$file/rp_filter; done"
)
VALUES = "cd /proc/sys/net/ipv4/conf; cat all/rp_filter eth0/rp_filter tailscale0/rp_filter other/rp_filter"
SETTING = f"""
from agent.kernel.loose import LooseFilter
sh("ip link add tailscale0 type veth peer name peer0; ip link add other type veth peer name peer1")
def values(): return sh('''{VALUES}''').split()
"""
ROUTED = """
sh("ip link add tailspan0 type vxlan id 7 dstport 4790 local 10.0.0.20 dev eth0 nolearning; ip link set tailspan0 up")
sh("ip addr add 10.0.0.20/32 dev tailspan0")
sh("ip link add tailscale0 type veth peer name peer0; ip link set tailscale0 up")
sh("ip route add 10.128.0.0/16 via 10.0.0.1 dev eth0 onlink proto 177; ip route add 10.129.0.0/16 dev tailscale0")
sh("sysctl -qw net.ipv4.ip_forward=1; echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter")
"""


def routed(host: int) -> AgentConfig:
    """A gateway of a region whose LAN routes every packet by itself."""
    return replace(config("gateway", host), reach="tunnel")


def test_a_strict_filter_is_loose_again_with_the_next_tick_and_other_devices_are_left_alone() -> None:
    out = on_a_machine(
        20,
        f"""
{SETTING}
kept = LooseFilter(netlink, config("gateway", 20))
kept.tick(0.0)
out["nothing to do"] = str(kept.repairs)
sh("{STRICT}")
out["strict"] = values()
kept.tick(0.08)
out["mended"] = values()
kept.tick(0.16)
out["repairs"] = str(kept.repairs)
out["kept"] = str(kept.kept)
""",
    )
    assert out["nothing to do"] == "0"
    assert out["strict"] == ["1", "1", "1", "1"]
    # The larger one of all's and the device's counts: `all` and devices that are not ours stay.
    assert out["mended"] == ["1", "2", "2", "1"]
    assert (out["repairs"], out["kept"]) == ("2", "True")


def test_no_filter_at_all_stays_so() -> None:
    out = on_a_machine(
        20,
        f"""
{SETTING}
sh("cd /proc/sys/net/ipv4/conf; for file in all eth0 tailscale0; do echo 0 >$file/rp_filter; done")
kept = LooseFilter(netlink, config("gateway", 20))
kept.tick(0.0)
out["values"] = values()
""",
    )
    assert out["values"][:3] == ["0", "0", "0"]


def test_the_devices_of_a_routed_lan_are_the_cable_and_the_tunnel() -> None:
    out = on_a_machine(
        20,
        f"""
from tests.failover.test_agent_filters import routed
from agent.kernel.loose import LooseFilter
{ROUTED}
sh("cd /proc/sys/net/ipv4/conf; for file in eth0 tailspan0 tailscale0; do echo 1 >$file/rp_filter; done")
LooseFilter(netlink, routed(20)).tick(0.0)
out["values"] = sh("cd /proc/sys/net/ipv4/conf; cat eth0/rp_filter tailspan0/rp_filter tailscale0/rp_filter").split()
""",
    )
    assert out["values"] == ["2", "2", "2"]


def test_a_filter_that_cannot_be_mended_is_told_and_looked_at_again() -> None:
    out = on_a_machine(
        20,
        f"""
{SETTING}
class Refused(Netlink):
    def set(self, kind, message, *, replace=True):
        raise PermissionError(1, "no")
sh("{STRICT}")
kept = LooseFilter(Refused(), config("gateway", 20))
kept.tick(0.0)
out["kept"] = str(kept.kept)
sh("echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter")
kept.tick(0.08)
out["by somebody else"] = str(kept.kept)
""",
    )
    assert (out["kept"], out["by somebody else"]) == ("False", "True")


@pytest.mark.parametrize("loose", [True, False])
def test_a_gateway_that_filters_strictly_sends_nodes_elsewhere(loose: bool) -> None:
    core = GatewayCore(
        ["a", "b"], {"a": "10.0.0.20", "b": "10.0.0.21"}, 0, Timing(), 0.0, Claims(0, [(0, 1), (1, 0)])
    )
    assert core.decide({}, Own(loose=loose), None, 5.0).well is loose


# What somebody looks up about a probe that this gateway forwards: its own way back, the answer's way, and its filter's.
WAYS = """
from tests.failover.test_agent_filters import routed
{routed}
paths = ProbePaths(netlink, routed(20), routed(20).ladder)
{before}
paths.ensure()
paths.ensure()
out["rules"] = sh("ip rule show pref 2400")
out["answer"] = sh("ip route get 10.128.0.5 from 10.129.0.4 iif tailscale0")
out["lookup"] = sh("ip route get 10.128.0.5")
out["own"] = sh("ip route get 10.129.0.4 from 10.128.0.8")
paths.remove()
out["left"] = sh("ip rule show pref 2400; ip route show table all proto 178")
"""


def test_on_a_routed_lan_the_way_back_to_a_partners_probe_is_that_to_a_pod() -> None:
    out = on_a_machine(20, WAYS.format(routed=ROUTED, before=""))
    assert out["rules"].count("\n") == 2
    # The answer itself cannot go the LAN's way: no machine has these addresses there.
    assert "dev tailspan0" in out["answer"]
    assert "via 10.0.0.21" in out["answer"]
    # The probe comes in by the tunnel, so a strict filter drops it, as it does with what pods send.
    assert "dev eth0" in out["lookup"]
    # A reverse lookup of an answer to my own has my probe address as its source: it leads to the tunnel it comes from.
    assert "dev tailspan0" in out["own"]
    assert out["left"] == ""


def test_what_an_earlier_version_set_is_replaced() -> None:
    before = """
sh("ip rule add ipproto udp sport 41651 lookup 17701 pref 2400 protocol 178")
sh("ip route add 10.128.0.5 via 10.0.0.21 dev tailspan0 onlink proto 178")
"""
    out = on_a_machine(20, WAYS.format(routed=ROUTED, before=before))
    assert "sport" not in out["rules"]
    assert out["rules"].count("\n") == 2
    assert "dev eth0" in out["lookup"]
    assert out["left"] == ""


@pytest.mark.lab
@pytest.mark.timeout(180)
def test_on_a_routed_lan_a_strict_filter_costs_no_more_than_the_table_promises(tmp_path: Path) -> None:
    """A setting is put back by the agent; a rule of a firewall is noticed by the partner."""
    names: dict[str, Any] = {one.name: one for one in EVENTS if one.name.startswith("strict_")}
    assert sorted(names) == ["strict_packet_filter", "strict_rp_filter"]
    file = tmp_path / "routed.jsonl"
    rig("measure", "agent", file, "--lan", "routed", "--events", ",".join(names), "--patience", "20")
    for one in result.read([file]):
        worst = next(step.worst for step in names[one.event].steps if step.part == one.part)
        assert one.recovered, one
        assert one.lost_inside == 0
        assert worst is None or max(one.gap.values()) <= worst, one
