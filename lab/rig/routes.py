"""A node's routes to other regions, set by hand: for measurements without an agent."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from lab.rig import lan
from lab.rig.machines import Machine
from lab.rig.rig import Rig
from network.plan import NetworkPlan, NodePlan

# As bootstrap/files/network.sh: the same protocol number, so that its `down` removes them, and the same devices.
_OURS = 177
_TUNNEL = "tailspan0"


def commands(rig: Rig, node: NodePlan, gateways: Sequence[NodePlan]) -> list[str]:
    """`ip` commands that spread what leaves the region over those gateways, as static equal-cost routes."""
    plan = rig.plan
    hops = " ".join(_hop(rig, node, gateway.node_ip) for gateway in gateways)
    settings = f"mtu {plan.mtu} advmss {plan.mss} proto {_OURS}"
    return [
        f"route replace {supernet} {settings} {hops}" for supernet in (plan.node_supernet, plan.pod_supernet)
    ]


def _hop(rig: Rig, node: NodePlan, gateway: IPv4Address) -> str:
    on = f"{_TUNNEL} onlink" if rig.region(node).reach == "tunnel" else lan.CABLE
    return f"nexthop via {gateway} dev {on}"


def spread(rig: Rig, node: NodePlan, gateways: Sequence[NodePlan]) -> None:
    rig.machine(node).run("ip", "-batch", "-", stdin="\n".join(commands(rig, node, gateways)) + "\n")


def spread_everywhere(rig: Rig) -> None:
    """Every plain node over all gateways of its region."""
    for region in rig.plan.regions:
        for node in rig.plain_nodes(region.name):
            spread(rig, node, region.gateways)


def leave_to_tailscaled(machine: Machine, plan: NetworkPlan) -> None:
    """
    As on a device of the tailnet: only tailscaled knows other regions. With a way to them by a gateway, its own packets
    would take that too, and the device's tunnel might run inside the gateway's.
    """
    for supernet in (plan.node_supernet, plan.pod_supernet):
        machine.run("ip", "route", "del", str(supernet), "proto", str(_OURS))
        machine.run("ip", "route", "add", "unreachable", str(supernet), "metric", "4096", "proto", str(_OURS))
