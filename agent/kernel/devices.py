"""Which device leads to the region's other machines."""

from __future__ import annotations

import errno
import socket

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

from agent.config import AgentConfig
from agent.kernel.netlink import GET_ADDRESS, Netlink
from agent.kernel.readings import Reading

LOOPBACK = 1
TAILNET_DEVICE = "tailscale0"


def index_of(name: str) -> int | None:
    """A device's index; None while there is no such device."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def lan_device(netlink: Netlink, config: AgentConfig) -> int | None:
    """The index of the device that has the node IP; the tunnel's where the LAN routes every packet by itself."""
    if config.reach == "tunnel":
        return index_of(config.tunnel)
    for entry in netlink.dump(GET_ADDRESS, _ipv4(), lambda data: config.node_ip.packed in data):
        index = int(entry["index"])
        if entry.get_attr("IFA_LOCAL") == str(config.node_ip) and index != LOOPBACK:
            return index
    return None


class Carrier:
    """Is there a cable? A device without a reading, such as none at all on a machine alone, counts as well."""

    def __init__(self) -> None:
        self._index: int | None = None
        self._reading: Reading | None = None

    def there(self, index: int | None) -> bool:
        """Of the device with that index."""
        try:
            if index != self._index or self._reading is None:
                self._follow(index)
            return self._reading is None or self._reading.read() == b"1"
        except OSError as error:
            # EINVAL: the device is set down.
            return error.errno != errno.EINVAL

    def _follow(self, index: int | None) -> None:
        if self._reading is not None:
            self._reading.close()
        self._index, self._reading = index, None
        if index is not None:
            self._reading = Reading(f"/sys/class/net/{socket.if_indextoname(index)}/carrier")


def _ipv4() -> ifaddrmsg:
    message = ifaddrmsg()
    message["family"] = socket.AF_INET
    return message
