"""What stands between gateways and the internet, and what it lets through: one interface for every cloud's firewall."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, collapse_addresses
from typing import Any

from pulumi_policy.proxy import UnknownValueError

from .inputs import number, unjudged

ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class Traffic:
    """A connection that a gateway must be able to have with anybody."""

    direction: str  # in | out
    protocol: str  # udp | tcp
    port: int

    def __str__(self) -> str:
        return f"{self.protocol.upper()} {self.port}"


# tailscale.com/kb/1082: the port of peers, by which a direct connection is made.
WIREGUARD_IN = Traffic("in", "udp", 41641)
# The same page: the control server and DERP relays (80 and 443), peers' ports, and STUN (3478).
WANTED_OUT = (
    Traffic("out", "tcp", 443),
    Traffic("out", "tcp", 80),
    Traffic("out", "udp", 41641),
    Traffic("out", "udp", 3478),
)


class Unjudged(Exception):
    """What a firewall lets through hangs on something that is not in this stack; the text says what to write."""


@dataclass
class Verdict:
    """Whether traffic passes, and which firewalls could not be asked."""

    passes: bool = False
    unknown: list[str] = field(default_factory=list)

    def ask(self, owner: str, question: Callable[[], bool | None]) -> bool | None:
        """The answer of one firewall; None if it does not say, or is not known."""
        try:
            return question()
        except UnknownValueError as error:
            self.unknown.append(unjudged(owner, error))
        except Unjudged as reason:
            self.unknown.append(f"{owner}: could not be judged, {reason}")
        return None


@dataclass(kw_only=True)
class Guard(ABC):
    """Gateways that the same firewalls guard together."""

    name: str
    urn: str

    @abstractmethod
    def verdict(self, traffic: Traffic) -> Verdict: ...

    @abstractmethod
    def remedy(self, traffic: Traffic) -> str: ...


def everywhere(cidrs: Iterable[Any]) -> bool:
    """Whether ranges are the whole internet together; two halves are often written for one."""
    networks: list[IPv4Network] = []
    for cidr in cidrs:
        try:
            networks.append(IPv4Network(str(cidr), strict=False))
        except ValueError:
            continue
    return IPv4Network(ANYWHERE) in collapse_addresses(networks)


def within(port: int, first: Any, last: Any) -> bool:
    low, high = number(first), number(last)
    return low is not None and high is not None and low <= port <= high


def is_protocol(value: Any, traffic: Traffic) -> bool:
    """By name or by number (IANA); `all` and -1 are every protocol."""
    numbers = {"udp": "17", "tcp": "6"}
    return str(value).lower() in (traffic.protocol, numbers[traffic.protocol], "all", "-1")
