"""How large a packet may be between two regions: the tunnel's size, or less where a link below it is smaller.

One size holds for the whole stack, because a node has one route for all regions together; the sizes of the
pairs say which link is the narrow one.
"""

from __future__ import annotations

from collections.abc import Iterator

from config.schema import RegionConfig, StackConfig

# What tailscaled makes its TUN device, unless TS_DEBUG_MTU says otherwise, and what it takes for the outer headers:
# IPv6, UDP and WireGuard, because it may prefer IPv6 for a pair that has both
# (https://github.com/tailscale/tailscale/blob/v1.102.3/net/tstun/mtu.go: safeTUNMTU, wgHeaderLen).
TUNNEL_MTU = 1280
WIREGUARD_BYTES = 80
# Outer Ethernet, IPv4, UDP and VXLAN (RFC 7348, section 5).
VXLAN_BYTES = 50
# IPv4 and TCP headers without options (RFC 9293, section 3.7.1).
TCP_BYTES = 40
# Beyond the LAN nothing larger is certain, also where machines have jumbo frames among themselves.
INTERNET_MTU = 1500


def wan_mtu(region: RegionConfig) -> int:
    """The largest packet, in bytes, that leaves a region for another one."""
    return region.wan_mtu or min(region.lan_mtu, INTERNET_MTU)


def region_mtu(region: RegionConfig, wanted: int) -> int:
    """The largest packet, in bytes, that fits into the tunnel of a region and crosses its LAN whole."""
    vxlan = VXLAN_BYTES if _has_vxlan(region) else 0
    return min(wanted, wan_mtu(region) - WIREGUARD_BYTES, region.lan_mtu - vxlan)


def _has_vxlan(region: RegionConfig) -> bool:
    """Whether nodes reach their gateways through a tunnel inside the region."""
    return region.provider.lan == "routed" and region.mode == "gateway"


def pair_mtu(one: RegionConfig, other: RegionConfig, wanted: int) -> int:
    """The largest packet, in bytes, between the nodes and pods of two regions."""
    return min(region_mtu(one, wanted), region_mtu(other, wanted))


def stack_mtu(config: StackConfig) -> int:
    """The smallest of all pairs, in bytes."""
    return min(region_mtu(region, config.tailnet.mtu) for region in config.regions)


def tcp_mss(mtu: int) -> int:
    """The TCP segment, in bytes, that fills a packet."""
    return mtu - TCP_BYTES


def mtu_problems(config: StackConfig) -> Iterator[str]:
    """Links that are too small for the smallest tunnel."""
    smallest = TUNNEL_MTU + WIREGUARD_BYTES
    for region in config.regions:
        if wan_mtu(region) < smallest:
            field = "wan_mtu" if region.wan_mtu else "lan_mtu"
            yield (
                f"region {region.name}: {field} {wan_mtu(region)} leaves {wan_mtu(region) - WIREGUARD_BYTES} bytes "
                f"to the packets in the tunnel, tailscaled's smallest is {TUNNEL_MTU}: large ones would vanish; "
                f"have the provider raise it, then write {field}: {smallest} or more"
            )
        if _has_vxlan(region) and region.lan_mtu < TUNNEL_MTU + VXLAN_BYTES:
            yield (
                f"region {region.name}: lan_mtu {region.lan_mtu} is too small for packets of {TUNNEL_MTU} bytes in "
                f"the region's VXLAN; have the provider raise it, then write lan_mtu: {TUNNEL_MTU + VXLAN_BYTES} "
                "or more, or lan: l2 if the machines share a switch"
            )
