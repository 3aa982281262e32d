"""A node's routes to other regions: one resilient nexthop group over the gateways in use, under both supernets.

The static routes of network.sh are replaced in place, which loses nothing, and put back by `restore`.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

from agent.config import AgentConfig
from agent.kernel.devices import lan_device
from agent.kernel.netlink import (
    DEL_NEXTHOP,
    GET_NEXTHOP,
    GET_ROUTE,
    NEW_NEXTHOP,
    NEW_ROUTE,
    Netlink,
    NetlinkError,
    NexthopMessage,
    RouteMessage,
)

# Marks what is the agent's; network.sh uses 177 (rtnetlink: numbers above 16 are free).
PROTOCOL, STATIC_PROTOCOL = 178, 177
FIRST_ID, GROUP_ID, PLAIN_GROUP_ID = 177001, 177090, 177091
TABLE_MAIN = 254
UNICAST, ONLINK = 1, 4
# Where struct rtmsg has the protocol, after the 16 bytes of struct nlmsghdr.
PROTOCOL_BYTE = 16 + 5
RESILIENT = 1
# Buckets of a gateway that returns: flows that pause for a second move at once, all of them after five.
BUCKETS, IDLE_CENTISECONDS, UNBALANCED_CENTISECONDS = 128, 100, 500
# Ports take part in the choice, not only addresses: two pods may have many connections. Off by default.
HASH_POLICY = Path("/proc/sys/net/ipv4/fib_multipath_hash_policy")
KEPT_POLICY = Path("/run/tailspan/agent.fib_multipath_hash_policy")


class NodeRoutes:
    """The kernel's side of a node's choice."""

    def __init__(self, netlink: Netlink, config: AgentConfig) -> None:
        self._netlink = netlink
        self._config = config
        self._group = GROUP_ID

    def current(self) -> tuple[int, ...]:
        """The gateways in use, by number, as an earlier run of the agent left them; empty if none did."""
        found = self._group_members()
        if found is None or any(self._route_group(network) is None for network in self._config.supernets):
            return ()
        return tuple(sorted(found))

    def in_place(self, numbers: Iterable[int]) -> bool:
        """Does the kernel have exactly these? Somebody may have run network.sh, or taken the device away."""
        return self.current() == tuple(sorted(numbers))

    def use(self, numbers: Iterable[int]) -> None:
        """Route both supernets over these gateways; raises OSError."""
        device = lan_device(self._netlink, self._config)
        if device is None:
            raise OSError(errno.ENODEV, f"no device has the node IP {self._config.node_ip}")
        chosen = sorted(numbers)
        for number in chosen:
            self._set_nexthop(number, device)
        self._set_group(chosen)
        for network in self._config.supernets:
            self._netlink.set(NEW_ROUTE, self._route(network, PROTOCOL, [("RTA_NH_ID", self._group)]))
        self._hash_by_ports()

    def restore(self) -> None:
        """What network.sh had set: the first gateway alone. Then the agent's objects go."""
        device = lan_device(self._netlink, self._config)
        if device is not None and self._group_members() is not None and self._config.gateways:
            first = self._config.gateways[0]
            way = [("RTA_GATEWAY", str(first.address)), ("RTA_OIF", device)]
            for network in self._config.supernets:
                if self._route_group(network) is not None:
                    self._netlink.set(NEW_ROUTE, self._route(network, STATIC_PROTOCOL, way))
        for identity in (
            GROUP_ID,
            PLAIN_GROUP_ID,
            *(FIRST_ID + n for n in range(len(self._config.gateways))),
        ):
            message = NexthopMessage()
            message["attrs"] = [("NHA_ID", identity)]
            self._netlink.delete(DEL_NEXTHOP, message)
        if KEPT_POLICY.exists():
            HASH_POLICY.write_text(KEPT_POLICY.read_text())
            KEPT_POLICY.unlink()

    def _route(self, network: IPv4Network, protocol: int, way: list[tuple[str, object]]) -> RouteMessage:
        message = RouteMessage()
        message["family"] = socket.AF_INET
        message["dst_len"] = network.prefixlen
        message["table"] = TABLE_MAIN
        message["proto"] = protocol
        message["type"] = UNICAST
        if self._config.reach == "tunnel" and protocol == STATIC_PROTOCOL:
            message["flags"] = ONLINK
        metrics = {"attrs": [("RTAX_MTU", self._config.mtu), ("RTAX_ADVMSS", self._config.advmss)]}
        message["attrs"] = [("RTA_DST", str(network.network_address)), *way, ("RTA_METRICS", metrics)]
        return message

    def _set_nexthop(self, number: int, device: int) -> None:
        message = NexthopMessage()
        message["family"] = socket.AF_INET
        message["proto"] = PROTOCOL
        message["flags"] = ONLINK if self._config.reach == "tunnel" else 0
        address = str(self._config.gateways[number].address)
        message["attrs"] = [("NHA_ID", FIRST_ID + number), ("NHA_GATEWAY", address), ("NHA_OIF", device)]
        self._netlink.set(NEW_NEXTHOP, message)

    def _set_group(self, numbers: list[int]) -> None:
        """Resilient, so that a change moves only the flows it must; a kernel before 5.13 gets an ordinary group."""
        try:
            self._netlink.set(NEW_NEXTHOP, self._group_message(numbers, resilient=self._group == GROUP_ID))
        except NetlinkError as error:
            if self._group != GROUP_ID or error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            self._group = PLAIN_GROUP_ID
            self._netlink.set(NEW_NEXTHOP, self._group_message(numbers, resilient=False))

    def _group_message(self, numbers: list[int], *, resilient: bool) -> NexthopMessage:
        message = NexthopMessage()
        message["proto"] = PROTOCOL
        members = b"".join(struct.pack("=IBBH", FIRST_ID + number, 0, 0, 0) for number in numbers)
        message["attrs"] = [("NHA_ID", self._group), ("NHA_GROUP", members)]
        if resilient:
            table = [
                ("NHA_RES_GROUP_BUCKETS", BUCKETS),
                ("NHA_RES_GROUP_IDLE_TIMER", IDLE_CENTISECONDS),
                ("NHA_RES_GROUP_UNBALANCED_TIMER", UNBALANCED_CENTISECONDS),
            ]
            message["attrs"] += [("NHA_GROUP_TYPE", RESILIENT), ("NHA_RES_GROUP", {"attrs": table})]
        return message

    def _group_members(self) -> set[int] | None:
        for entry in self._netlink.dump(GET_NEXTHOP, NexthopMessage()):
            identity = entry.get_attr("NHA_ID")
            if identity in (GROUP_ID, PLAIN_GROUP_ID):
                self._group = identity
                raw = bytes(entry.get_attr("NHA_GROUP"))
                return {struct.unpack_from("=I", raw, at)[0] - FIRST_ID for at in range(0, len(raw), 8)}
        return None

    def _route_group(self, network: IPv4Network) -> int | None:
        query = RouteMessage()
        query["family"] = socket.AF_INET
        for entry in self._netlink.dump(GET_ROUTE, query, lambda data: data[PROTOCOL_BYTE] == PROTOCOL):
            if (
                entry["table"] == TABLE_MAIN
                and entry["dst_len"] == network.prefixlen
                and entry.get_attr("RTA_DST") == str(network.network_address)
                and entry.get_attr("RTA_NH_ID") in (GROUP_ID, PLAIN_GROUP_ID)
            ):
                return int(entry.get_attr("RTA_NH_ID"))
        return None

    def _hash_by_ports(self) -> None:
        before = HASH_POLICY.read_text()
        if before.strip() == "0":
            # Read-only in a pod that is not privileged; our machines set it at boot (bootstrap/kubelet.py, SYSCTL).
            with suppress(OSError):
                KEPT_POLICY.parent.mkdir(parents=True, exist_ok=True)
                HASH_POLICY.write_text("1\n")
                KEPT_POLICY.write_text(before)
