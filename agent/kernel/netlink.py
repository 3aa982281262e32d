"""One netlink socket. The kernel answers at once, so requests simply wait; pyroute2 knows the message formats."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from pyroute2.netlink import (
    NLA_F_NESTED,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    nla,
    nlmsg,
)
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

SET_LINK = 19
NEW_ADDRESS, DEL_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, DEL_ROUTE, GET_ROUTE = 24, 25, 26
NEW_RULE, DEL_RULE, GET_RULE = 32, 33, 34
NEW_QDISC, DEL_QDISC = 36, 37
NEW_NEXTHOP, DEL_NEXTHOP, GET_NEXTHOP = 104, 105, 106

_HEADER = struct.Struct("=IHHII")
_TIMEOUT = 2.0
_RECEIVE_BYTES = 1 << 17


class RouteMessage(rtmsg):  # type: ignore[misc]
    """pyroute2's route message and the one attribute it does not know: linux/rtnetlink.h, RTA_NH_ID = 30."""

    __slots__ = ()
    nla_map = (
        *rtmsg.nla_map[: rtmsg.nla_map.index(("RTA_EXPIRES", "hex")) + 1],
        ("RTA_PAD", "cdata"),
        ("RTA_UID", "uint32"),
        ("RTA_TTL_PROPAGATE", "uint8"),
        ("RTA_IP_PROTO", "uint8"),
        ("RTA_SPORT", "cdata"),
        ("RTA_DPORT", "cdata"),
        ("RTA_NH_ID", "uint32"),
    )


class NexthopMessage(nlmsg):  # type: ignore[misc]
    """linux/nexthop.h: struct nhmsg and its attributes."""

    __slots__ = ()
    prefix = "NHA_"
    fields = (("family", "B"), ("scope", "B"), ("proto", "B"), ("resvd", "B"), ("flags", "I"))
    nla_map = (
        ("NHA_UNSPEC", "none"),
        ("NHA_ID", "uint32"),
        ("NHA_GROUP", "cdata"),
        ("NHA_GROUP_TYPE", "uint16"),
        ("NHA_BLACKHOLE", "flag"),
        ("NHA_OIF", "uint32"),
        ("NHA_GATEWAY", "ip4addr"),
        ("NHA_ENCAP_TYPE", "uint16"),
        ("NHA_ENCAP", "cdata"),
        ("NHA_GROUPS", "flag"),
        ("NHA_MASTER", "uint32"),
        ("NHA_FDB", "flag"),
        ("NHA_RES_GROUP", "buckets"),
    )

    class buckets(nla):  # type: ignore[misc]
        """A resilient group's table."""

        __slots__ = ()
        nla_flags = NLA_F_NESTED
        nla_map = (
            ("NHA_RES_GROUP_PAD", "none"),
            ("NHA_RES_GROUP_BUCKETS", "uint16"),
            ("NHA_RES_GROUP_IDLE_TIMER", "uint32"),
            ("NHA_RES_GROUP_UNBALANCED_TIMER", "uint32"),
        )


class LinkMessage(nlmsg):  # type: ignore[misc]
    """linux/rtnetlink.h: struct ifinfomsg, with the one attribute that is set here (linux/if_link.h)."""

    __slots__ = ()
    prefix = "IFLA_"
    fields = (("family", "B"), ("pad", "B"), ("type", "H"), ("index", "i"), ("flags", "I"), ("change", "I"))
    nla_map = ((26, "IFLA_AF_SPEC", "cdata"),)


class QueueMessage(nlmsg):  # type: ignore[misc]
    """linux/rtnetlink.h: struct tcmsg, with the one attribute that is set here."""

    __slots__ = ()
    prefix = "TCA_"
    fields = (
        ("family", "B"),
        ("pad1", "B"),
        ("pad2", "H"),
        ("index", "i"),
        ("handle", "I"),
        ("parent", "I"),
        ("info", "I"),
    )
    nla_map = ((1, "TCA_KIND", "asciiz"),)


_FORMATS: dict[int, type[nlmsg]] = {
    NEW_ADDRESS: ifaddrmsg,
    NEW_ROUTE: RouteMessage,
    NEW_RULE: fibmsg,
    NEW_NEXTHOP: NexthopMessage,
}


class NetlinkError(OSError):
    """The kernel refused a request; `errno` says why."""


class Netlink:
    """Requests with an acknowledgement, and dumps."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))
        self._socket.settimeout(_TIMEOUT)
        self._number = 0

    def close(self) -> None:
        self._socket.close()

    def set(self, kind: int, message: nlmsg, *, replace: bool = True) -> None:
        """Create, or replace what is there."""
        self._request(kind, message, NLM_F_CREATE | (NLM_F_REPLACE if replace else 0))

    def delete(self, kind: int, message: nlmsg) -> None:
        """Remove; what is not there is removed already."""
        try:
            self._request(kind, message, 0)
        except NetlinkError as error:
            if error.errno not in (errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise

    def dump(self, kind: int, message: nlmsg, wanted: Callable[[bytes], bool] = lambda _: True) -> list[Any]:
        """
        Everything of a kind that is `wanted`, judged by its bytes: a machine may have hundreds of routes, and reading
        one takes pyroute2 a tenth of a millisecond.
        """
        self._send(kind, message, NLM_F_DUMP)
        return [self._decoded(*answer) for answer in self._answers() if wanted(answer[1])]

    def _request(self, kind: int, message: nlmsg, flags: int) -> None:
        self._send(kind, message, NLM_F_ACK | flags)
        for _ in self._answers():
            pass

    def _send(self, kind: int, message: nlmsg, flags: int) -> None:
        self._number += 1
        message["header"]["type"] = kind
        message["header"]["flags"] = NLM_F_REQUEST | flags
        message["header"]["sequence_number"] = self._number
        message.encode()
        self._socket.send(bytes(message.data))

    def _answers(self) -> Iterator[tuple[int, bytes]]:
        while True:
            data = self._socket.recv(_RECEIVE_BYTES)
            offset = 0
            while offset < len(data):
                length, kind, _, number, _ = _HEADER.unpack_from(data, offset)
                if number == self._number:
                    if kind == NLMSG_DONE:
                        return
                    if kind == NLMSG_ERROR:
                        code = -struct.unpack_from("=i", data, offset + _HEADER.size)[0]
                        if code:
                            raise NetlinkError(code, os.strerror(code))
                        return
                    if kind in _FORMATS:
                        yield kind, data[offset : offset + length]
                offset += (length + 3) & ~3

    @staticmethod
    def _decoded(kind: int, data: bytes) -> Any:
        message = _FORMATS[kind](data)
        message.decode()
        return message
