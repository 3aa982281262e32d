"""What a stranger on a region's LAN can see and do: counters on its switch, and a machine that is no node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network

from lab import addresses
from lab.shell import inside, run

TABLE = "stranger"


@dataclass(frozen=True)
class Seen:
    """Packets that crossed the switch from one machine to another."""

    plain: int
    wireguard: int


@dataclass(frozen=True, kw_only=True)
class Lan:
    """One region's switch (`lan: l2`)."""

    region: str
    nodes: IPv4Network
    pods: IPv4Network

    @contextmanager
    def watched(self) -> Iterator[Lan]:
        """
        Counts by what can be read off a packet. ICMP is left out: it is how machines say that a port is closed.
        """
        ours = f"{{ {self.nodes}, {self.pods} }}"
        rules = f"""
table bridge {TABLE} {{
  counter wireguard {{ }}
  counter plain {{ }}
  chain pass {{
    type filter hook forward priority filter; policy accept;
    ip daddr {ours} udp dport 41641 counter name wireguard accept
    ip daddr {ours} ip protocol != icmp counter name plain
  }}
}}
"""
        self._nft("-f", "-", stdin=rules)
        try:
            yield self
        finally:
            self._nft("delete", "table", "bridge", TABLE)

    def seen(self) -> Seen:
        listed = json.loads(self._nft("-j", "list", "counters", "table", "bridge", TABLE))["nftables"]
        packets = {
            item["counter"]["name"]: item["counter"]["packets"] for item in listed if "counter" in item
        }
        return Seen(plain=packets["plain"], wireguard=packets["wireguard"])

    def stranger_asks(self, url: str, via: str) -> bool:
        """Whether a machine with an address of the LAN, that is no node, gets an answer by way of that machine."""
        address = str(self.nodes[99])
        host = url.split("/")[2].rpartition(":")[0]
        device = addresses.LAN_BRIDGE
        script = (
            f"trap 'ip addr del {address}/{self.nodes.prefixlen} dev {device}' EXIT\n"
            f"ip addr add {address}/{self.nodes.prefixlen} dev {device}\n"
            f"[ {host} = {via} ] || ip route add {host}/32 via {via} src {address}\n"
            f"curl -sk -m2 -o /dev/null --interface {address} {url}; code=$?\n"
            f"[ {host} = {via} ] || ip route del {host}/32 via {via}\n"
            "exit $code"
        )
        return run([*self._inside, "bash", "-c", script], check=False).returncode == 0

    @property
    def _inside(self) -> list[str]:
        return [str(word) for word in inside(addresses.namespace(self.region))]

    def _nft(self, *words: str, stdin: str | None = None) -> str:
        return run([*self._inside, "nft", *words], stdin=stdin).stdout
