"""The machine's packet filter with real packets: a gateway at Google Cloud between a pod and the VPC, in namespaces."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bootstrap.hostnetwork import METADATA, nftables
from network.plan import plan_network
from network.ports import HEALTH_PORT
from tests.components.gcp import example

PROBER, STRANGER = "35.191.0.1", "192.0.2.9"
# Everything is in namespaces of its own under a /run of its own, and gone with the process.
NETWORK = f"""
mount -t tmpfs none /run
for name in pod node vpc; do ip netns add $name; ip -n $name link set lo up; done
ip link add eth0 netns pod type veth peer name cni0 netns node
ip link add ens4 netns node type veth peer name vpc0 netns vpc
ip -n pod addr add 10.128.20.5/24 dev eth0
ip -n pod link set eth0 up
ip -n node addr add 10.128.20.1/24 dev cni0
ip -n node addr add 10.0.0.20/24 dev ens4
ip -n node link set cni0 up
ip -n node link set ens4 up
for address in 10.0.0.1/24 {METADATA}/32 {PROBER}/32 {STRANGER}/32; do ip -n vpc addr add $address dev vpc0; done
ip -n vpc link set vpc0 up
ip -n pod route add default via 10.128.20.1
ip -n node route add default via 10.0.0.1
ip netns exec node sysctl -qw net.ipv4.ip_forward=1
ip netns exec node nft -f -
"""
SERVE = """
import socket, sys, threading
def serve(listener):
    while True:
        listener.accept()[0].close()
for address, port in (pair.split(":") for pair in sys.argv[1:]):
    threading.Thread(target=serve, args=(socket.create_server((address, int(port))),)).start()
print("ready", flush=True)
"""
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 1, source_address=(sys.argv[3], 0)).close()
    print("passes")
except TimeoutError:
    print("dropped")
"""
CONNECTIONS = (
    ("pod", METADATA, 80, "10.128.20.5", "dropped"),
    ("pod", METADATA, 53, "10.128.20.5", "passes"),
    ("pod", STRANGER, 80, "10.128.20.5", "passes"),
    ("node", METADATA, 80, "10.0.0.20", "passes"),
    ("vpc", "10.0.0.20", HEALTH_PORT, PROBER, "passes"),
    ("vpc", "10.0.0.20", HEALTH_PORT, STRANGER, "dropped"),
    ("vpc", "10.0.0.20", HEALTH_PORT, "10.0.0.1", "dropped"),
    ("node", "127.0.0.1", HEALTH_PORT, "127.0.0.1", "passes"),
)
PROGRAM = (
    """
import json, subprocess, sys
serve, connect, connections = json.loads(sys.argv[1])
def python(where, *arguments):
    return ["ip", "netns", "exec", where, sys.executable, "-c", *arguments]
servers = [
    subprocess.Popen(python(where, serve, *pairs), stdout=subprocess.PIPE)
    for where, *pairs in (("vpc", "{METADATA}:80", "{METADATA}:53", "{STRANGER}:80"), ("node", "0.0.0.0:{PORT}"))
]
try:
    for server in servers:
        server.stdout.readline()
    for where, host, port, source in connections:
        run = subprocess.run(python(where, connect, host, str(port), source), stdout=subprocess.PIPE, text=True)
        print(run.stdout.strip() or "failed")
finally:
    for server in servers:
        server.kill()
""".replace("{METADATA}", METADATA)
    .replace("{STRANGER}", STRANGER)
    .replace("{PORT}", str(HEALTH_PORT))
)


@pytest.fixture(scope="module")
def verdicts() -> list[str]:
    """What became of each connection, all tried in one world."""
    plan = plan_network(example())
    table = nftables(plan.hub.gateways[0], plan.hub, plan)
    tries = [connection[:4] for connection in CONNECTIONS]
    done = subprocess.run(
        [
            "unshare",
            "--net",
            "--mount",
            "sh",
            "-ec",
            NETWORK + 'exec "$0" -c "$1" "$2"',
            sys.executable,
            PROGRAM,
            json.dumps([SERVE, CONNECT, tries]),
        ],
        input=table,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("index", "expected"), [(i, each[4]) for i, each in enumerate(CONNECTIONS)], ids=lambda value: str(value)
)
def test_a_connection_passes_or_is_dropped(verdicts: list[str], index: int, expected: str) -> None:
    assert verdicts[index] == expected, CONNECTIONS[index]
