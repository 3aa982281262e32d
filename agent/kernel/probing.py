"""What a gateway needs so that a probe leaves through one partner and comes back through the same one.

A probe through partner i is sent from the address probes[i][me]. A rule by that address sends it to the partner's
LAN address instead of the own tunnel. Only the partner advertises that address, so the answer reaches the partner,
which has a route for it to this gateway. Both directions are forwarded by the partner's kernel, like any traffic.

They must fail where pods' packets fail, also by reverse path filters (rp_filter, netfilter's rpfilter and fib). On a
routed LAN those come in by the in-region tunnel while the way back to them is the LAN's; so the partner's way back to
a probe is the tunnel only for what comes out of its own tailnet device, and the LAN's for all who look it up. The
answer must not fail by this gateway's own filters, or it would blame the partner; the rule by the address, which a
reverse lookup has as its source, sees to that.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address
from typing import Any

from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

from agent.config import AgentConfig, Ladder
from agent.kernel.devices import LOOPBACK, TAILNET_DEVICE, lan_device
from agent.kernel.netlink import (
    DEL_ADDRESS,
    DEL_ROUTE,
    DEL_RULE,
    GET_ADDRESS,
    GET_ROUTE,
    GET_RULE,
    NEW_ADDRESS,
    NEW_ROUTE,
    NEW_RULE,
    Netlink,
    RouteMessage,
)
from agent.kernel.routes import ONLINK, PROTOCOL, PROTOCOL_BYTE, TABLE_MAIN, UNICAST

# Before network.sh's rule for the own ranges (2500) and Tailscale's own (5210 and up).
RULE_PRIORITY = 2400
FIRST_TABLE = 17700
FIRST_PORT = 41650
UDP = 17
TO_TABLE = 1
# What tells one of these rules from another.
Key = tuple[Any, ...]


class ProbePaths:
    """Addresses, rules, tables and routes of one gateway's probes."""

    def __init__(self, netlink: Netlink, config: AgentConfig, ladder: Ladder) -> None:
        self._netlink, self._config, self._ladder = netlink, config, ladder
        self._me = config.index
        self._partners = [number for number in range(len(config.gateways)) if number != self._me]

    def ensure(self) -> None:
        """Put in place what is missing; raises OSError."""
        device = lan_device(self._netlink, self._config)
        present = self._addresses()
        for row in self._ladder.probes:
            if str(row[self._me]) not in present:
                self._netlink.set(NEW_ADDRESS, _address(row[self._me]))
        if device is None:
            return
        ruled = self._ruled()
        for partner in self._partners:
            way = self._config.gateways[partner].address
            self._netlink.set(NEW_ROUTE, self._route(None, way, device, FIRST_TABLE + partner))
            for rule in self._rules(partner):
                if _key(rule) not in ruled:
                    self._netlink.set(NEW_RULE, rule, replace=False)
            answers = self._route(self._ladder.probes[self._me][partner], way, device, TABLE_MAIN)
            if self._config.reach == "tunnel":
                # An earlier version of the agent set it.
                self._netlink.delete(DEL_ROUTE, answers)
            else:
                self._netlink.set(NEW_ROUTE, answers)
            self._netlink.delete(DEL_RULE, _former_rule(partner))

    def remove(self) -> None:
        """Take everything away again."""
        for row in self._ladder.probes:
            self._netlink.delete(DEL_ADDRESS, _address(row[self._me]))
        for partner in self._partners:
            for rule in (*self._rules(partner), _former_rule(partner)):
                self._netlink.delete(DEL_RULE, rule)
        query = RouteMessage()
        query["family"] = socket.AF_INET
        for entry in self._netlink.dump(GET_ROUTE, query, lambda data: data[PROTOCOL_BYTE] == PROTOCOL):
            if entry.get_attr("RTA_NH_ID") is None:
                gone = RouteMessage()
                for name in ("family", "dst_len", "table", "proto", "type"):
                    gone[name] = entry[name]
                gone["scope"] = 255  # RT_SCOPE_NOWHERE: whatever the scope
                kept = ("RTA_DST", "RTA_TABLE")
                gone["attrs"] = [(n, entry.get_attr(n)) for n in kept if entry.get_attr(n) is not None]
                self._netlink.delete(DEL_ROUTE, gone)

    def _addresses(self) -> set[str]:
        query = ifaddrmsg()
        query["family"] = socket.AF_INET
        mine = [row[self._me].packed for row in self._ladder.probes]
        found = self._netlink.dump(GET_ADDRESS, query, lambda data: any(one in data for one in mine))
        return {str(entry.get_attr("IFA_LOCAL")) for entry in found}

    def _ruled(self) -> set[Key]:
        query = fibmsg()
        query["family"] = socket.AF_INET
        return {
            _key(entry)
            for entry in self._netlink.dump(GET_RULE, query)
            if entry.get_attr("FRA_PRIORITY") == RULE_PRIORITY
        }

    def _rules(self, partner: int) -> list[fibmsg]:
        """For the probes through a partner; and on a routed LAN for the answers to those that it sends through me."""
        rules = [_rule(partner, src=self._ladder.probes[partner][self._me])]
        if self._config.reach == "tunnel":
            answers = self._ladder.probes[self._me][partner]
            rules.append(_rule(partner, dst=answers, device=TAILNET_DEVICE))
        return rules

    def _route(self, target: IPv4Address | None, way: IPv4Address, device: int, table: int) -> RouteMessage:
        message = RouteMessage()
        message["family"] = socket.AF_INET
        message["dst_len"] = 32 if target else 0
        message["table"] = table if table < 256 else 0
        message["proto"] = PROTOCOL
        message["type"] = UNICAST
        message["flags"] = ONLINK if self._config.reach == "tunnel" else 0
        message["attrs"] = [("RTA_GATEWAY", str(way)), ("RTA_OIF", device), ("RTA_TABLE", table)]
        if target:
            message["attrs"].append(("RTA_DST", str(target)))
        return message


def _rule(
    partner: int, *, src: IPv4Address | None = None, dst: IPv4Address | None = None, device: str | None = None
) -> fibmsg:
    message = _bare_rule(partner)
    message["src_len"], message["dst_len"] = (32 if src else 0), (32 if dst else 0)
    if src:
        message["attrs"].append(("FRA_SRC", str(src)))
    if dst:
        message["attrs"].append(("FRA_DST", str(dst)))
    if device:
        message["attrs"].append(("FRA_IIFNAME", device))
    return message


def _former_rule(partner: int) -> fibmsg:
    """What an earlier version of the agent set instead."""
    message = _bare_rule(partner)
    port = FIRST_PORT + partner
    message["attrs"] += [("FRA_IP_PROTO", UDP), ("FRA_SPORT_RANGE", f"{port}:{port}")]
    return message


def _bare_rule(partner: int) -> fibmsg:
    message = fibmsg()
    message["family"] = socket.AF_INET
    message["action"] = TO_TABLE
    message["attrs"] = [
        ("FRA_PRIORITY", RULE_PRIORITY),
        ("FRA_TABLE", FIRST_TABLE + partner),
        ("FRA_PROTOCOL", PROTOCOL),
    ]
    return message


def _key(rule: fibmsg) -> Key:
    return tuple(rule.get_attr(name) for name in ("FRA_TABLE", "FRA_SRC", "FRA_DST", "FRA_IIFNAME"))


def _address(address: IPv4Address) -> ifaddrmsg:
    message = ifaddrmsg()
    message["family"] = socket.AF_INET
    message["prefixlen"] = 32
    message["index"] = LOOPBACK
    message["attrs"] = [("IFA_LOCAL", str(address)), ("IFA_ADDRESS", str(address))]
    return message
