"""Which device leads to the region's other machines."""

from __future__ import annotations

import socket
from pathlib import Path

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

from agent.config import AgentConfig
from agent.kernel.netlink import GET_ADDRESS, Netlink

LOOPBACK = 1
TAILNET_DEVICE = "tailscale0"


def lan_device(netlink: Netlink, config: AgentConfig) -> int | None:
    """The index of the device that has the node IP; the tunnel's where the LAN routes every packet by itself."""
    if config.reach == "tunnel":
        try:
            return socket.if_nametoindex(config.tunnel)
        except OSError:
            return None
    for entry in netlink.dump(GET_ADDRESS, _ipv4(), lambda data: config.node_ip.packed in data):
        index = int(entry["index"])
        if entry.get_attr("IFA_LOCAL") == str(config.node_ip) and index != LOOPBACK:
            return index
    return None


def has_carrier(index: int | None) -> bool:
    """Is there a cable? A device without a reading, such as none at all on a machine alone, counts as well."""
    if index is None:
        return True
    try:
        name = socket.if_indextoname(index)
        return Path(f"/sys/class/net/{name}/carrier").read_text().strip() == "1"
    except OSError as error:
        # EINVAL: the device is set down.
        return error.errno != 22


def _ipv4() -> ifaddrmsg:
    message = ifaddrmsg()
    message["family"] = socket.AF_INET
    return message
