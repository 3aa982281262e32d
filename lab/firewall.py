"""A router's nft ruleset, rendered whole from the records: NAT of public addresses, and what may come in.

Pure. One `nft -f` replaces the old ruleset at once, so a change never leaves a moment open or closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address

from lab import addresses
from lab.records import MachineRecord, NetworkRecord
from lab.specs import Rule, Target

_PRIVATE = "{ 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16 }"


def ruleset(network: NetworkRecord, machines: Sequence[MachineRecord]) -> str:
    up = addresses.UPLINK
    chains = [
        _chain(
            "prerouting", "nat hook prerouting priority dstnat; policy accept", _inward(network, machines)
        ),
        _chain(
            "postrouting", "nat hook postrouting priority srcnat; policy accept", _outward(network, machines)
        ),
        _chain("forward", "filter hook forward priority filter; policy drop", _forward(network, machines)),
        _chain("ingress", None, _ingress(network, machines)),
        _chain(
            "input",
            "filter hook input priority filter; policy drop",
            [
                'iifname "lo" accept',
                "ct state established,related accept",
                f'iifname != "{up}" icmp type echo-request accept',
                # A machine that asks its router for DNS is told at once that there is none.
                f'iifname != "{up}" reject',
            ],
        ),
        _chain(
            "output",
            "filter hook output priority filter; policy accept",
            # As in a cloud, nobody outside is told that a powered-off machine is unreachable.
            [f'oifname "{up}" icmp type destination-unreachable icmp code host-unreachable drop'],
        ),
    ]
    # Declaring the table first makes the deletion work when there is none yet.
    return "table inet lab\ndelete table inet lab\ntable inet lab {\n" + "".join(chains) + "}\n"


def opens(
    network: NetworkRecord, machine: MachineRecord, protocol: str, port: int, source: IPv4Address
) -> bool:
    """Whether the firewall lets a packet from `source` in to that port of the machine."""
    return any(
        machine in _targets(target, [machine])
        and rule.protocol == protocol
        and rule.port == port
        and source in rule.source
        for target, rules in network.firewalls.items()
        for rule in rules
    )


def _chain(name: str, hook: str | None, rules: Iterable[str]) -> str:
    lines = [f"type {hook};"] if hook else []
    return f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in [*lines, *rules]) + "  }\n"


def _inward(network: NetworkRecord, machines: Sequence[MachineRecord]) -> Iterator[str]:
    from_outside = f'iifname "{addresses.UPLINK}"'
    if public := {str(m.public_ip): str(m.spec.node_ip) for m in machines if m.public_ip}:
        yield f"{from_outside} dnat ip to ip daddr map {_map(public)}"
    for m in machines:
        if not m.public_ip:
            port = f"ip daddr {m.ssh_host} tcp dport {m.ssh_port}"
            yield f"{from_outside} {port} dnat ip to {m.spec.node_ip}:22"


def _outward(network: NetworkRecord, machines: Sequence[MachineRecord]) -> Iterator[str]:
    up = addresses.UPLINK
    if public := {str(m.spec.node_ip): str(m.public_ip) for m in machines if m.public_ip}:
        yield f'oifname "{up}" snat ip to ip saddr map {_map(public)}'
    if network.spec.nat:
        # Without `fully-random` Linux keeps the source port for all destinations: peers can guess it.
        random = " fully-random" if network.spec.nat == "hard" else ""
        yield f'oifname "{up}" ip saddr {network.spec.cidr} snat ip to {network.public_ip}{random}'


def _forward(network: NetworkRecord, machines: Sequence[MachineRecord]) -> Iterator[str]:
    up = addresses.UPLINK
    # Inside the network nothing is filtered, and a flow may come back by another way than the router.
    yield f'iifname != "{up}" oifname != "{up}" accept'
    yield "ct state established,related accept"
    yield f'oifname "{up}" ip daddr {_PRIVATE} drop'
    # Only addresses that the router translates leave: a pod's packet does not, as in a cloud.
    if public := [str(m.spec.node_ip) for m in machines if m.public_ip]:
        yield f'iifname != "{up}" oifname "{up}" ip saddr {_set(public)} accept'
    if network.spec.nat:
        yield f'iifname != "{up}" oifname "{up}" ip saddr {network.spec.cidr} accept'
    # What was not addressed to a public address or a forwarded port has no business inside.
    yield f'iifname "{up}" ct status dnat jump ingress'


def _ingress(network: NetworkRecord, machines: Sequence[MachineRecord]) -> Iterator[str]:
    for target, rules in sorted(network.firewalls.items()):
        if chosen := [str(m.spec.node_ip) for m in _targets(target, machines)]:
            for rule in rules:
                yield f"ip daddr {_set(chosen)} ip saddr {rule.source} {_match(rule)} accept"


def _targets(target: Target, machines: Sequence[MachineRecord]) -> list[MachineRecord]:
    role = {"gateways": "gateway", "control-plane": "control-plane", "workers": "worker", "all": None}[target]
    return [m for m in machines if role in (None, m.spec.role)]


def _match(rule: Rule) -> str:
    return "meta l4proto icmp" if rule.protocol == "icmp" else f"{rule.protocol} dport {rule.port}"


def _map(pairs: dict[str, str]) -> str:
    return "{ " + ", ".join(f"{key} : {value}" for key, value in pairs.items()) + " }"


def _set(values: Iterable[str]) -> str:
    return "{ " + ", ".join(values) + " }"
