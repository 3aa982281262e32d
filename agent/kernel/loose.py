"""rp_filter stays loose (2) on the devices that carry other regions' packets, which come in by other ways than they go.

It is the product's own setting (bootstrap/kubelet.py, SYSCTL; network.sh), and hardening guides put 1 in its place. Set
over netlink, because /proc/sys is read-only in a pod that is not privileged. The larger of the device's value and of
`all` counts (Documentation/networking/ip-sysctl.rst), so the device's own is enough.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

from agent.config import AgentConfig
from agent.kernel.devices import LOOPBACK, TAILNET_DEVICE, index_of
from agent.kernel.netlink import GET_ADDRESS, SET_LINK, LinkMessage, Netlink
from agent.kernel.readings import Reading
from agent.log import log

STRICT, LOOSE = 1, 2
# linux/if_link.h IFLA_INET_CONF, linux/ip.h IPV4_DEVCONF_RP_FILTER
_INET_CONF, _RP_FILTER = 1, 8
# How often it is looked up which devices there are, seconds.
DEVICES_EVERY = 5.0


class LooseFilter:
    """`kept`: whether no device filters strictly, as far as this agent could see to it."""

    def __init__(self, netlink: Netlink, config: AgentConfig) -> None:
        self._netlink, self._config = netlink, config
        self._devices: Sequence[str] = ()
        self._readings: dict[str, Reading] = {}
        self._look = float("-inf")
        self._refused: str | None = None
        self.repairs = 0

    @property
    def kept(self) -> bool:
        return self._refused is None

    def tick(self, now: float) -> None:
        if now >= self._look:
            self._look = now + DEVICES_EVERY
            with suppress(OSError):
                self._devices = self._found()
            for gone in self._readings.keys() - {"all", *self._devices}:
                self._readings.pop(gone).close()
        everywhere = self._value("all")
        refused = None
        for device in self._devices:
            # 0 is no filter at all: nothing to mend.
            if max(everywhere, self._value(device)) == STRICT:
                refused = self._loosen(device) or refused
        if refused and refused != self._refused:
            log("strict rp_filter stays", error=refused)
        self._refused = refused

    def _value(self, device: str) -> int:
        """What the kernel has; 0 of a device that is not there."""
        path = f"/proc/sys/net/ipv4/conf/{device}/rp_filter"
        try:
            return int(self._readings.setdefault(device, Reading(path)).read())
        except (OSError, ValueError):
            return 0

    def _loosen(self, device: str) -> str | None:
        """Returns why it could not."""
        try:
            self._netlink.set(SET_LINK, _loose(socket.if_nametoindex(device)))
        except OSError as error:
            return f"{device}: {error}"
        self.repairs += 1
        log("strict rp_filter", device=device, set=LOOSE)
        return None

    def _found(self) -> list[str]:
        """Tailscale's device, and those that have the node IP: on a routed LAN the cable and the in-region tunnel."""
        query = ifaddrmsg()
        query["family"] = socket.AF_INET
        mine = self._netlink.dump(GET_ADDRESS, query, lambda data: self._config.node_ip.packed in data)
        indexes = {
            int(one["index"]) for one in mine if one.get_attr("IFA_LOCAL") == str(self._config.node_ip)
        }
        names = [socket.if_indextoname(index) for index in sorted(indexes - {LOOPBACK})]
        # On a gateway it comes and goes with tailscaled; to look for what never comes costs more than all the others.
        tailnet = [TAILNET_DEVICE] if self._config.ladder or index_of(TAILNET_DEVICE) else []
        return [*names, *tailnet]


def _loose(index: int) -> LinkMessage:
    conf = struct.pack("=HHI", 8, _RP_FILTER, LOOSE)
    inet = struct.pack("=HH", 4 + len(conf), _INET_CONF) + conf
    message = LinkMessage()
    message["index"] = index
    message["attrs"] = [("IFLA_AF_SPEC", struct.pack("=HH", 4 + len(inet), socket.AF_INET) + inet)]
    return message
