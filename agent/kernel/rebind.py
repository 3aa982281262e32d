"""tailscaled opens its sockets anew once its device has an address; here it is brought to do so early.

tailscaled 1.102 takes the address of its own device for a change of the machine's network, which loses what arrives at
that moment. It does not notice at once: netmon (net/netmon/netmon_linux.go) passes over messages about Tailscale's own
addresses and looks at all interfaces only when the kernel tells of another address or route, whatever it is. On a quiet
machine that may be long after, when the gateway carries traffic again.
"""

from __future__ import annotations

import socket

from agent.kernel.netlink import DEL_ROUTE, NEW_ROUTE, Netlink, RouteMessage
from agent.kernel.routes import PROTOCOL

# In a table that no rule leads to; the address is nobody's (RFC 5737).
_TABLE = 17716
_ADDRESS = "192.0.2.1"
_UNREACHABLE = 7
# So often (seconds) for so long after tailscaled has come up; what netmon has seen already costs it nothing.
NUDGE_EVERY, NUDGE_FOR = 0.5, 4.0


class Nudge:
    """A route comes and goes a few times after each start of tailscaled."""

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink
        self._known: int | None = None
        self._since = self._last = float("-inf")

    def tick(self, connection: int, up: bool, now: float) -> None:
        """`connection`: which tailscaled it is, by count. Raises OSError."""
        if up and connection != self._known:
            self._known, self._since = connection, now
        if up and now - self._since <= NUDGE_FOR and now - self._last >= NUDGE_EVERY:
            self._last = now
            self._netlink.set(NEW_ROUTE, _route())
            self._netlink.delete(DEL_ROUTE, _route())


def _route() -> RouteMessage:
    message = RouteMessage()
    message["family"] = socket.AF_INET
    message["dst_len"] = 32
    message["proto"] = PROTOCOL
    message["type"] = _UNREACHABLE
    message["attrs"] = [("RTA_DST", _ADDRESS), ("RTA_TABLE", _TABLE)]
    return message
