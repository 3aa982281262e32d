"""Names and addresses of the lab: fixed ones, and those that follow from a network or a machine."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

# TEST-NET-2 plays the internet: no real host has an address in it.
PUBLIC = IPv4Network("198.51.100.0/24")
OPERATOR = PUBLIC[1]
HEADSCALE = PUBLIC[2]
HANDED_OUT = tuple(PUBLIC[number] for number in range(10, 255))

# What the lab makes in the kernel starts with this prefix: it is found by name when the records are lost.
PREFIX = "tsl-"
INTERNET = f"{PREFIX}inet"
INTERNET_BRIDGE = "pub0"
OPERATOR_LINK = f"{PREFIX}op"
# Inside a network's namespace.
UPLINK = "up0"
LAN_BRIDGE = "lan0"
# The folder of the lab's machines in every cgroup hierarchy.
CGROUP = "tailspan-lab"

FIRST_SSH_PORT = 2200


def namespace(network: str) -> str:
    return f"{PREFIX}{network}"


def router_address(cidr: IPv4Network) -> IPv4Address:
    return cidr[1]


def internet_port(public_ip: IPv4Address) -> str:
    """The router's link on the internet's side."""
    return f"rt{int(public_ip) & 0xFF}"


def machine_port(node_ip: IPv4Address) -> str:
    """The machine's link on the router's side: derived, so that it is the same after every reboot."""
    return f"v{int(node_ip):08x}"


def machine_mac(node_ip: IPv4Address) -> str:
    return "02:74:" + ":".join(f"{byte:02x}" for byte in node_ip.packed)
