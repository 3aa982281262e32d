"""A machine's routes, rules and packet filter: values for files/network.sh and one nftables table."""

from __future__ import annotations

from ipaddress import IPv4Network

from bootstrap import fence
from bootstrap.fence import POD_DEVICES, elements
from bootstrap.gateway import TAILSCALE_PORT
from network.plan import NetworkPlan, NodePlan, RegionPlan
from network.ports import HEALTH_PORT

VXLAN_ID = 41641
VXLAN_PORT = 4789
# Where clouds answer a machine's questions about itself; on Google Cloud its resolver has the address too.
METADATA = "169.254.169.254"


def network_env(node: NodePlan, region: RegionPlan, plan: NetworkPlan, endpoint: str) -> str:
    """network.env: sourced by network.sh, so every value is quoted."""
    peers = [f"{peer.node_ip}={peer.pod_cidr}" for peer in region.nodes if peer.name != node.name]
    values = {
        "NODE_IP": node.node_ip,
        "DEVICE": "yes" if node.device else "no",
        "REACH": region.reach,
        # A machine alone in its region, or in one without a LAN, may carry its node IP on lo.
        "ALONE": "yes" if len(region.nodes) == 1 or not region.lan else "no",
        "NODE_CIDR": region.node_cidr,
        "REGION_POD_CIDR": region.pod_cidr,
        "POD_CIDR": node.pod_cidr,
        "SERVICE_CIDR": plan.service_cidr,
        "API_ADDRESS": plan.api_address,
        "API_NAME": endpoint,
        "OWN": " ".join(str(cidr) for cidr in _own(node, region)),
        "SUPERNETS": f"{plan.node_supernet} {plan.pod_supernet}",
        "GATEWAYS": " ".join(str(gateway.node_ip) for gateway in region.gateways),
        "NEXT_HOP": region.next_hop or "",
        "PEERS": " ".join(peers) if region.reach == "lan" else "",
        "MTU": plan.mtu,
        "MSS": plan.mss,
        "VXLAN_ID": VXLAN_ID,
        "VXLAN_PORT": VXLAN_PORT,
    }
    return "".join(f"{name}={quoted(str(value))}\n" for name, value in values.items())


def _own(node: NodePlan, region: RegionPlan) -> tuple[IPv4Network, ...]:
    """What a device never sends into the tailnet, whoever advertises it there: its region's LAN, or its own pods."""
    if region.mode == "per-node":
        return (node.pod_cidr,)
    return (region.node_cidr, region.pod_cidr) if node.device else ()


def quoted(value: str) -> str:
    """A value for a shell file, always in single quotes."""
    return "'" + value.replace("'", "'\\''") + "'"


def nftables(node: NodePlan, region: RegionPlan, plan: NetworkPlan) -> str:
    """The table `inet tailspan`, replaced as a whole whenever it is loaded."""
    chains = [_masquerade(node, plan), _METADATA_CHAIN]
    if node.role == "gateway":
        chains.append(_transit(node, region, plan))
        if region.health_sources:
            chains.append(_health(region))
    if node.device:
        chains += [_clamp(plan), _source(node, plan), _endpoints(node)]
    if region.mode == "per-node":
        chains.append(fence.chains(node, region, plan))
    body = "\n".join(chains)
    return f"table inet tailspan\ndelete table inet tailspan\ntable inet tailspan {{\n{body}}}\n"


def _masquerade(node: NodePlan, plan: NetworkPlan) -> str:
    inside = elements(plan.node_supernet, plan.pod_supernet, IPv4Network("224.0.0.0/4"))
    return f"""\
  # Pods keep their addresses inside the cluster and take the machine's towards the internet.
  chain internet {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {node.pod_cidr} ip daddr != {inside} masquerade
  }}
"""


# Whoever may ask gets the machine's user data and, if it has a role in its cloud, credentials. The machine itself asks
# by output, so its own agents go on.
_METADATA_CHAIN = f"""\
  # The metadata service is for the machine and not for its pods, except for names.
  chain metadata {{
    type filter hook forward priority filter; policy accept;
    ip daddr {METADATA} udp dport 53 accept
    ip daddr {METADATA} tcp dport 53 accept
    ip daddr {METADATA} drop
  }}
"""


def _health(region: RegionPlan) -> str:
    return f"""\
  # Only the load balancer's probes learn whether this gateway carries traffic.
  chain health {{
    type filter hook input priority filter; policy accept;
    iifname != "lo" tcp dport {HEALTH_PORT} ip saddr != {elements(*region.health_sources)} drop
  }}
"""


def _transit(node: NodePlan, region: RegionPlan, plan: NetworkPlan) -> str:
    remote = elements(plan.node_supernet, plan.pod_supernet)
    own = elements(region.node_cidr, region.pod_cidr, plan.service_cidr)
    return f"""\
  # A cross-region flow may leave by one gateway and come back by another, so neither sees all of it: connection
  # tracking would call it invalid, and kube-proxy drops what is invalid. This machine's own pods stay tracked,
  # because their Services are translated here.
  chain untracked {{
    type filter hook prerouting priority raw; policy accept;
    iifname "tailscale0" jump transit
    ip daddr {remote} ip daddr != {own} jump transit
  }}
  chain transit {{
    fib daddr type local return
    ip daddr {node.pod_cidr} return
    ip saddr {node.pod_cidr} return
    notrack
  }}
"""


def _clamp(plan: NetworkPlan) -> str:
    return f"""\
  # Both directions: a SYN and its answer may pass different gateways. nft never raises an MSS.
  chain clamp {{
    type filter hook forward priority mangle; policy accept;
    oifname "tailscale0" tcp flags & (syn | rst) == syn tcp option maxseg size set {plan.mss}
    iifname "tailscale0" tcp flags & (syn | rst) == syn tcp option maxseg size set {plan.mss}
  }}
"""


def _source(node: NodePlan, plan: NetworkPlan) -> str:
    remote = elements(plan.node_supernet, plan.pod_supernet)
    return f"""\
  # What the machine itself sends would carry its tailnet address, to which no other node routes back.
  chain source {{
    type nat hook postrouting priority srcnat - 10; policy accept;
    oifname "tailscale0" ip saddr 100.64.0.0/10 ip daddr {remote} snat ip to {node.node_ip}
  }}
"""


def _endpoints(node: NodePlan) -> str:
    leaving = "\n".join(f'    oifname "{device}" udp sport {TAILSCALE_PORT} drop' for device in POD_DEVICES)
    arriving = "\n".join(f'    iifname "{device}" udp dport {TAILSCALE_PORT} drop' for device in POD_DEVICES)
    return f"""\
  # tailscaled offers every address of the host as an endpoint. Over a pod interface a tunnel would run inside the
  # pod network, or inside itself (tailscale/tailscale#1552).
  chain endpoints_out {{
    type filter hook output priority filter; policy accept;
{leaving}
  }}
  chain endpoints_in {{
    type filter hook input priority filter; policy accept;
    ip daddr {node.pod_cidr} udp dport {TAILSCALE_PORT} drop
{arriving}
  }}
"""
