"""The packet filter of a machine in a per-node region: between machines of the cluster nothing is in plain text.

tailscaled routes by table 52, which comes before the LAN's own routes. While tailscaled does not run that table is
empty, and a LAN that strangers share would see what jobs send each other; so the LAN is fenced off, not only avoided.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from bootstrap.gateway import TAILSCALE_PORT
from network.plan import NetworkPlan, NodePlan, RegionPlan

POD_DEVICES = ("cni0", "veth*", "cilium*", "lxc*", "flannel*", "tailspan0")
_INSIDE = ("tailscale0", "lo", *POD_DEVICES)


def elements(*networks: IPv4Network) -> str:
    """An anonymous set of nft."""
    return "{ " + ", ".join(str(network) for network in networks) + " }"


def chains(node: NodePlan, region: RegionPlan, plan: NetworkPlan) -> str:
    """Three chains: what leaves, what arrives for the machine, what arrives for its pods."""
    return _leaving(region) + "\n" + _arriving(region) + "\n" + _for_pods(node, plan) + "\n" + _LAN_NEEDS


def _inside(direction: str) -> str:
    return "\n".join(f'    {direction} "{device}" accept' for device in _INSIDE)


def _leaving(region: RegionPlan) -> str:
    # Not in output: there a packet whose Service was just translated still names the device of its old route.
    return f"""\
  # Nodes and pods of this region are reached through the tailnet or not at all.
  chain fence_out {{
    type filter hook postrouting priority srcnat + 10; policy accept;
{_inside("oifname")}
    ip daddr {elements(region.node_cidr, region.pod_cidr)} jump lan_needs
    ip daddr {elements(region.node_cidr, region.pod_cidr)} drop
  }}
"""


def _arriving(region: RegionPlan) -> str:
    return f"""\
  # Who has an address of this region and does not come through the tailnet is a stranger on the LAN.
  chain fence_in {{
    type filter hook input priority filter; policy accept;
{_inside("iifname")}
    ip saddr {elements(region.node_cidr, region.pod_cidr)} jump lan_needs
    ip saddr {elements(region.node_cidr, region.pod_cidr)} drop
  }}
"""


def _for_pods(node: NodePlan, plan: NetworkPlan) -> str:
    return f"""\
  # From outside the tailnet pods get answers to what they asked the internet, and what a port of the machine
  # forwards to them; a machine of the LAN that takes this one for its router gets nothing.
  chain fence_pods {{
    type filter hook forward priority filter; policy accept;
{_inside("iifname")}
    ip daddr != {node.pod_cidr} accept
    ip saddr {elements(plan.node_supernet, plan.pod_supernet)} drop
    ct state established,related accept
    ct status dnat accept
    drop
  }}
"""


_LAN_NEEDS = f"""\
  # Encrypted by itself (WireGuard, SSH), or what a machine needs of its LAN: addresses, names, time, port mapping.
  # 0x80000 marks what tailscaled itself sends (tailscale: util/linuxfw).
  chain lan_needs {{
    meta mark & 0x00ff0000 == 0x00080000 accept
    udp sport {TAILSCALE_PORT} accept
    udp dport {TAILSCALE_PORT} accept
    tcp sport 22 accept
    tcp dport 22 accept
    meta l4proto icmp accept
    udp dport {{ 53, 67, 68, 123 }} accept
    udp sport {{ 53, 67, 123, 1900, 5351 }} ct state established,related accept
  }}
"""
