"""What the route agent does to a kernel, in network namespaces of its own: it takes over, and puts everything back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from agent.config import AgentConfig, parse

# A machine with a LAN and the static routes of network.sh, and nothing of the host's /run in sight.
MACHINE = """
mount -t tmpfs none /run
ip link set lo up
ip link add eth0 type veth peer name switch
ip addr add 10.0.0.{host}/24 dev eth0
ip link set eth0 up
ip link set switch up
ip route add 10.0.0.0/9 via 10.0.0.20 dev eth0 proto 177 mtu 1280 advmss 1240
ip route add 10.128.0.0/9 via 10.0.0.20 dev eth0 proto 177 mtu 1280 advmss 1240
"""
STATE = "(ip route show table all; ip rule; ip nexthop; ip -4 addr; cat /proc/sys/net/ipv4/fib_multipath_hash_policy)"
HEAD = """
import json, subprocess, sys
from tests.failover.test_agent_kernel import config
from agent.kernel.netlink import Netlink
from agent.kernel.routes import NodeRoutes
from agent.kernel.probing import ProbePaths
netlink = Netlink()
def sh(command): return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
"""


def config(role: str, host: int) -> AgentConfig:
    """A region with two gateways, seen from one of its machines."""
    names = {20: "gw-1", 21: "gw-2"}
    return parse(
        {
            "role": role,
            "region": "hub",
            "name": names.get(host, "node"),
            "node_ip": f"10.0.0.{host}",
            "pods": f"10.128.{host}.0/24",
            "gateways": [{"name": name, "address": f"10.0.0.{at}"} for at, name in names.items()],
            "supernets": ["10.0.0.0/9", "10.128.0.0/9"],
            "mtu": 1280,
            "advmss": 1240,
            "ladder": {
                "blocks": [{"prefix": "10.128.0.0/16", "longest": 29, "own": [], "node": 24}],
                "probes": [["10.128.0.4", "10.128.0.5"], ["10.128.0.8", "10.128.0.9"]],
                "targets": [],
            },
        },
        bytes(32),
    )


def on_a_machine(host: int, body: str) -> dict[str, Any]:
    """Run Python on a machine of that address; its variable `out` comes back."""
    script = f"{HEAD}\nout = {{}}\nout['before'] = sh('''{STATE}''')\n{body}\nprint(json.dumps(out))"
    done = subprocess.run(
        [
            "unshare",
            "--net",
            "--mount",
            "sh",
            "-ec",
            MACHINE.format(host=host) + 'exec "$0" -c "$1"',
            sys.executable,
            script,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_node_spreads_over_its_gateways_and_removal_leaves_what_was_there() -> None:
    out = on_a_machine(
        40,
        f"""
routes = NodeRoutes(netlink, config("node", 40))
out["nothing yet"] = str(routes.current())
routes.use((0, 1))
out["both"] = sh("ip route show 10.128.0.0/9; ip nexthop")
out["hash"] = sh("cat /proc/sys/net/ipv4/fib_multipath_hash_policy")
routes.use((1,))
out["one"] = sh("ip route show 10.0.0.0/9")
# Another run of the agent finds what this one left.
out["restarted"] = str(NodeRoutes(Netlink(), config("node", 40)).current())
NodeRoutes(netlink, config("node", 40)).restore()
out["after"] = sh('''{STATE}''')
""",
    )
    assert out["nothing yet"] == "()"
    assert "mtu 1280 advmss 1240" in out["both"]
    assert "nexthop via 10.0.0.20 dev eth0" in out["both"]
    assert "nexthop via 10.0.0.21 dev eth0" in out["both"]
    assert "type resilient buckets 128" in out["both"]
    assert out["hash"].strip() == "1"
    assert "10.0.0.21" in out["one"]
    assert "10.0.0.20" not in out["one"]
    assert out["restarted"] == "(1,)"
    assert out["after"] == out["before"]


def test_routes_that_went_with_their_device_are_missed_and_set_again() -> None:
    out = on_a_machine(
        40,
        """
routes = NodeRoutes(netlink, config("node", 40))
routes.use((0, 1))
out["set"] = str(routes.in_place((0, 1)))
sh("ip link set eth0 down; ip link set eth0 up")
out["gone"] = str(routes.in_place((0, 1)))
routes.use((0, 1))
out["again"] = str(routes.in_place((0, 1)))
""",
    )
    assert (out["set"], out["gone"], out["again"]) == ("True", "False", "True")


@pytest.mark.parametrize(
    ("host", "partner", "table", "source"), [(20, 21, 17701, "10.128.0.8"), (21, 20, 17700, "10.128.0.5")]
)
def test_a_gateways_probes_go_through_its_partner_and_come_back_through_it(
    host: int, partner: int, table: int, source: str
) -> None:
    out = on_a_machine(
        host,
        f"""
paths = ProbePaths(netlink, config("gateway", {host}), config("gateway", {host}).ladder)
paths.ensure()
paths.ensure()
out["rule"] = sh("ip rule show pref 2400")
out["out"] = sh("ip route get 10.129.0.4 from {source}")
out["back"] = sh("ip route show proto 178")
out["local"] = sh("ip -4 addr show lo")
paths.remove()
out["after"] = sh('''{STATE}''')
""",
    )
    assert out["rule"].count("\n") == 1
    assert f"from {source} lookup {table}" in out["rule"]
    assert f"via 10.0.0.{partner}" in out["out"]
    # Its own address, and the one at which it gets back what it sent through the partner.
    own, through, answered = (4, 8, 5) if host == 20 else (9, 5, 8)
    assert f"10.128.0.{answered} via 10.0.0.{partner}" in out["back"]
    assert f"10.128.0.{own}/32" in out["local"]
    assert f"10.128.0.{through}/32" in out["local"]
    assert out["after"] == out["before"]


# The functions of network.sh, on such a machine.
NETWORK = """
env = '''NODE_IP=10.0.0.{host} REGION_POD_CIDR=10.128.0.0/16 NODE_CIDR=10.0.0.0/24 SERVICE_CIDR=10.96.0.0/16
SUPERNETS="10.0.0.0/9 10.128.0.0/9" GATEWAYS="10.0.0.20 10.0.0.21" NEXT_HOP=10.0.0.20 PEERS="" MTU=1280 MSS=1240
OWN="10.0.0.0/24 10.128.0.0/16" DEVICE={device} REACH=lan ALONE=no LAN=eth0'''
open("/run/network.env", "w").write(env)
text = open("bootstrap/files/network.sh").read().replace("/etc/tailspan/network.env", "/run/network.env")
open("/run/network.sh", "w").write(text[: text.index("case ${{1:-up}}")])
def network(function): return sh(f"bash -ec '. /run/network.sh; {{function}}'")
"""
LEFT = """
ip route show table all proto 178; ip nexthop; ip rule show pref 2400
ip -4 -o addr show dev lo | grep 10.128 || true
"""


def test_the_nodes_script_leaves_the_agents_choice_alone_and_takes_it_away_with_the_rest() -> None:
    out = on_a_machine(
        40,
        f"""
{NETWORK.format(host=40, device="no")}
NodeRoutes(netlink, config("node", 40)).use((1,))
network("routes_up")
out["kept"] = sh("ip route show 10.0.0.0/9")
network("agent_down")
out["left"] = sh('''{LEFT}''')
network("routes_up")
out["static"] = sh("ip route show 10.0.0.0/9")
""",
    )
    assert "nexthop" in out["kept"] or "nhid" in out["kept"]
    assert "10.0.0.20" not in out["kept"]
    assert out["left"].strip() == ""
    assert "via 10.0.0.20" in out["static"]


def test_the_gateways_script_keeps_its_rules_in_place_and_takes_the_probes_ways_away() -> None:
    out = on_a_machine(
        20,
        f"""
{NETWORK.format(host=20, device="yes")}
from agent.kernel.hush import Hush
paths = ProbePaths(netlink, config("gateway", 20), config("gateway", 20).ladder)
paths.ensure()
sh("ip rule add to 10.200.0.0/16 lookup main pref 2500")
network("rules_up")
network("rules_up")
out["rules"] = sh("ip rule show pref 2500")
sh("ip tuntap add tailscale0 mode tun; ip link set tailscale0 up")
Hush(netlink).tick(False, 0.0)
out["quiet"] = sh("tc qdisc show dev tailscale0")
network("agent_down")
out["still quiet"] = sh("tc qdisc show dev tailscale0")
sh("tc qdisc replace dev tailscale0 root pfifo")
network("agent_down")
out["another's queue"] = sh("tc qdisc show dev tailscale0")
out["left"] = sh('''{LEFT}''')
out["own"] = sh("ip -4 -o addr show dev eth0")
""",
    )
    assert sorted(line.split()[4] for line in out["rules"].splitlines()) == ["10.0.0.0/24", "10.128.0.0/16"]
    assert out["left"].strip() == ""
    assert "10.0.0.20/24" in out["own"]
    assert "blackhole" in out["quiet"]
    assert "blackhole" not in out["still quiet"]
    assert "pfifo" in out["another's queue"]


def test_a_nudge_is_an_event_of_the_kernels_and_leaves_nothing() -> None:
    out = on_a_machine(
        20,
        """
from agent.kernel.rebind import NUDGE_EVERY, NUDGE_FOR, Nudge
import time
seen = subprocess.Popen(["ip", "monitor", "route"], stdout=subprocess.PIPE, text=True)
time.sleep(0.5)
nudge, beat = Nudge(netlink), 0.1
for number in range(100):
    nudge.tick(1, True, number * beat)
nudge.tick(1, False, 10.0)
nudge.tick(2, True, 11.0)
time.sleep(0.3)
seen.terminate()
out["seen"] = seen.communicate()[0]
out["first"] = str(int(NUDGE_FOR / NUDGE_EVERY) + 1)
out["left"] = sh("ip route show table all proto 178")
""",
    )
    lines = [line for line in out["seen"].splitlines() if "192.0.2.1" in line]
    assert sum(1 for line in lines if not line.startswith("Deleted")) == int(out["first"]) + 1
    assert sum(1 for line in lines if line.startswith("Deleted")) == int(out["first"]) + 1
    assert out["left"] == ""


def test_a_fresh_tailscaled_sends_nothing_until_the_others_have_heard_of_it() -> None:
    out = on_a_machine(
        20,
        """
from agent.kernel.hush import HUSH_SECONDS, LONGEST_SECONDS, Hush
def quiet(): return "blackhole" in sh("tc qdisc show dev tailscale0")
def fresh():
    sh("ip link del tailscale0 2>/dev/null || true; ip tuntap add tailscale0 mode tun; ip link set tailscale0 up")
def told(hush, *ticks):
    seen = []
    for up, at in ticks:
        hush.tick(up, at)
        seen.append(quiet())
    return json.dumps(seen)
old = Hush(netlink)
old.tick(None, 0.0)
fresh()
before, after = 1.9 + HUSH_SECONDS, 2.1 + HUSH_SECONDS
out["starts"] = told(old, (None, 1.0), (False, 1.5), (True, 2.0), (True, before), (True, after))
fresh()
out["starts again"] = told(old, (True, 9.0), (True, 9.1 + HUSH_SECONDS))
out["agent starts while it carries"] = told(Hush(netlink), (None, 1.0), (True, 1.1), (False, 1.2))
out["agent starts while it starts"] = told(young := Hush(netlink), (None, 1.0), (False, 1.1))
out["another agent, it carries"] = told(Hush(netlink), (None, 2.0), (True, 2.1))
fresh()
out["never up"] = told(Hush(netlink), (False, 0.0), (False, LONGEST_SECONDS - 1), (False, LONGEST_SECONDS))
fresh()
last = Hush(netlink)
last.tick(False, 0.0)
last.remove()
out["removed"] = json.dumps(quiet())
sh("tc qdisc replace dev tailscale0 root pfifo")
last.remove()
out["another's queue"] = sh("tc qdisc show dev tailscale0")
sh("ip link del tailscale0")
out["gone"] = json.dumps(last.tick(None, 1.0))
""",
    )
    wanted = {
        "starts": [True, True, True, True, False],
        "starts again": [True, False],
        "agent starts while it carries": [False, False, False],
        "agent starts while it starts": [False, True],
        "another agent, it carries": [True, False],
        "never up": [True, True, False],
        "removed": False,
        "gone": None,
    }
    assert {what: json.loads(out[what]) for what in wanted} == wanted
    assert "pfifo" in out["another's queue"]
