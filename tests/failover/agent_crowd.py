"""
200 nodes, a partner and a tailscaled that only answers, around a real gateway agent; run alone in a network namespace.

`FOLDER NODES SECONDS [alone]`: alone without the partner, as if it were dead. Prints JSON: the agent's share of a core,
its memory, and how many beats each node heard per second.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from agent import wire
from agent.config import Timing
from agent.core.sessions import Listener, Speaker
from agent.udp import UdpPort

REGION, KEY = "hub", bytes(range(32))
SETTLES = 5.0
BEAT = Timing().beat
STATUS = {
    "BackendState": "Running",
    "Self": {"TailscaleIPs": ["127.0.0.77"], "PrimaryRoutes": []},
    "Peer": {},
}


class Node:
    """A node's side of the heartbeats, at its own address."""

    def __init__(self, name: str, address: str, pods: str = "") -> None:
        self.name, self.address, self.pods = name, address, pods
        self.listener = Listener("gw-1")
        self.beats = 0
        self.port = UdpPort(self.address, 41642, self.receive, BEAT)

    def receive(self, data: bytes, source: tuple[str, int], age: float) -> None:
        message = wire.unseal(data, REGION, KEY)
        now = time.monotonic()
        if isinstance(message, wire.Answer):
            self.listener.answered(message, now)
        elif isinstance(message, wire.Beat):
            self.beats += self.listener.beaten(message, now)

    def greet(self, now: float) -> None:
        if self.listener.due(now):
            nonce = os.urandom(8).hex()
            hello = self.listener.hello(now, nonce, self.name, "boot", self.address, self.pods)
            self.port.send(wire.seal(hello, REGION, KEY), ("10.0.0.20", 41642))


class Partner(Node):
    """The other gateway: it is greeted, too, and beats."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__(name, address)
        self.speaker = Speaker(name, "boot")

    def receive(self, data: bytes, source: tuple[str, int], age: float) -> None:
        message = wire.unseal(data, REGION, KEY)
        if not isinstance(message, wire.Hello):
            super().receive(data, source, age)
        elif answer := self.speaker.greeted(message, source, time.monotonic()):
            self.port.send(wire.seal(answer, REGION, KEY), source)

    async def beat(self) -> None:
        while True:
            self.speaker.beat += 1
            beat = wire.Beat(sender=self.name, boot="boot", beat=self.speaker.beat)
            for to in self.speaker.audience(time.monotonic()):
                self.port.send(wire.seal(beat, REGION, KEY), to)
            await asyncio.sleep(BEAT)


def node(number: int) -> Node:
    pods = f"10.128.{number % 250 + 1}.0/24"
    return Node(f"node-{number}", f"10.0.{1 + number // 200}.{number % 200 + 20}", pods)


async def tailscaled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    if "watch-ipn-bus" in request:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n{}\n")
        await reader.read()
        return
    body = json.dumps(STATUS if "status" in request else {"AdvertiseRoutes": []}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


def configuration(folder: Path) -> Path:
    (folder / "key").write_text(KEY.hex())
    gateways = [{"name": "gw-1", "address": "10.0.0.20"}, {"name": "gw-2", "address": "10.0.0.21"}]
    config = {
        "role": "gateway",
        "region": REGION,
        "name": "gw-1",
        "node_ip": "10.0.0.20",
        "pods": "10.128.20.0/24",
        "key_file": str(folder / "key"),
        "gateways": gateways,
        "supernets": ["10.0.0.0/9", "10.128.0.0/9"],
        "mtu": 1280,
        "advmss": 1240,
        "ladder": {
            "blocks": [{"prefix": "10.128.0.0/16", "longest": 29, "own": ["10.128.20.0/24"], "node": 24}],
            "probes": [["10.128.0.4", "10.128.0.5"], ["10.128.0.8", "10.128.0.9"]],
            # Itself, under another name: what it sends comes back.
            "targets": [{"name": "far", "region": "gpu", "address": "10.128.0.4"}],
            "socket": str(folder / "tailscaled.sock"),
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "config.json"


def spent(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def main(folder: Path, count: int, seconds: float, alone: bool) -> None:
    nodes = [node(number) for number in range(count)]
    greeters = nodes
    if not alone:
        partner = Partner("gw-2", "10.0.0.21")
        greeters = [*nodes, partner]
        beating = asyncio.create_task(partner.beat())
    server = await asyncio.start_unix_server(tailscaled, folder / "tailscaled.sock")
    command = [sys.executable, "-m", "agent", "--config", str(configuration(folder)), "run"]
    agent = subprocess.Popen(command, stderr=(folder / "agent.log").open("w"))
    try:
        begun = time.monotonic()
        first, beats = 0.0, 0
        while (past := time.monotonic() - begun) < SETTLES + seconds:
            if not first and past >= SETTLES:
                first, beats, since = spent(agent.pid), sum(one.beats for one in nodes), time.monotonic()
            for one in greeters:
                one.greet(time.monotonic())
            await asyncio.sleep(0.05)
        elapsed = time.monotonic() - since
        status = Path(f"/proc/{agent.pid}/status").read_text()
        memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        heard = (sum(one.beats for one in nodes) - beats) / elapsed / count
        share = (spent(agent.pid) - first) / elapsed
        print(json.dumps({"core": share, "mib": memory / 1024, "beats": heard}))
    finally:
        agent.kill()
        agent.wait()
        if not alone:
            beating.cancel()
        server.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), "alone" in sys.argv))
