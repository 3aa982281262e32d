"""What the route agent does to a kernel, in network namespaces of its own: it takes over, and puts everything back."""

from __future__ import annotations

import json
import subprocess
import sys

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


def on_a_machine(host: int, body: str) -> dict[str, str]:
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
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
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
    ("host", "partner", "table", "port"), [(20, 21, 17701, 41651), (21, 20, 17700, 41650)]
)
def test_a_gateways_probes_go_through_its_partner_and_come_back_through_it(
    host: int, partner: int, table: int, port: int
) -> None:
    out = on_a_machine(
        host,
        f"""
paths = ProbePaths(netlink, config("gateway", {host}), config("gateway", {host}).ladder)
paths.ensure()
paths.ensure()
out["rule"] = sh("ip rule show pref 2400")
out["out"] = sh("ip route get 10.129.0.4 ipproto udp sport {port}")
out["back"] = sh("ip route show proto 178")
out["local"] = sh("ip -4 addr show lo")
paths.remove()
out["after"] = sh('''{STATE}''')
""",
    )
    assert out["rule"].count("\n") == 1
    assert f"sport {port} lookup {table}" in out["rule"]
    assert f"via 10.0.0.{partner}" in out["out"]
    # Its own address, and the one at which it gets back what it sent through the partner.
    own, through, answered = (4, 8, 5) if host == 20 else (9, 5, 8)
    assert f"10.128.0.{answered} via 10.0.0.{partner}" in out["back"]
    assert f"10.128.0.{own}/32" in out["local"]
    assert f"10.128.0.{through}/32" in out["local"]
    assert out["after"] == out["before"]
