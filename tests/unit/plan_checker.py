"""A second opinion on network plans: bare integers, no code in common with the plan."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import pairwise

from network.plan import NetworkPlan, RegionPlan

TAILNET = (0x64400000, 0x64800000)  # 100.64.0.0/10

Span = tuple[int, int]


def faults(plan: NetworkPlan) -> list[str]:
    """What is wrong with a plan; empty if it may be built."""
    blocks = [span(plan.service_cidr)]
    blocks += [span(cidr) for region in plan.regions for cidr in (region.node_cidr, region.pod_cidr)]
    found = ["two ranges share addresses"] if collide(blocks) else []
    found += ["a range touches the tailnet's"] if any(collide([block, TAILNET]) for block in blocks) else []
    names = [node.name for region in plan.regions for node in region.nodes]
    found += ["a node name is used twice"] if len(set(names)) != len(names) else []
    gateways = sum(len(region.gateways) for region in plan.regions)
    found += [] if plan.devices == gateways else ["devices are not the gateways"]
    found += [] if [region.kind for region in plan.regions].count("cloud") == 1 else ["not one hub"]
    for region in plan.regions:
        found += [f"{region.name}: {fault}" for fault in region_faults(region, plan)]
    return found


def region_faults(region: RegionPlan, plan: NetworkPlan) -> list[str]:
    node_low, node_high = span(region.node_cidr)
    pod_low, pod_high = span(region.pod_cidr)
    addresses = [int(node.node_ip) for node in region.nodes]
    pods = [span(node.pod_cidr) for node in region.nodes]
    found = []
    if not inside(span(region.node_cidr), span(plan.node_supernet)):
        found.append("node range outside its supernet")
    if not inside(span(region.pod_cidr), span(plan.pod_supernet)):
        found.append("pod range outside its supernet")
    if len(set(addresses)) != len(addresses) or collide(pods):
        found.append("two nodes share addresses")
    if not all(node_low < address < node_high - 1 for address in addresses):
        found.append("a node IP is no host of the node range")
    if not all(inside(pod, (pod_low, pod_high)) for pod in pods):
        found.append("a node's pods are outside the pod range")
    return found + ladder_faults(region)


def ladder_faults(region: RegionPlan) -> list[str]:
    gateways = [node for node in region.nodes if node.role == "gateway"]
    advertised = [span(prefix) for node in gateways for prefix in node.advertise]
    found = [] if 1 <= len(gateways) <= 4 else ["no gateway, or too many"]
    if any(node.advertise for node in region.nodes if node.role != "gateway"):
        found.append("something else than a gateway advertises")
    if len(set(advertised)) != len(advertised):
        found.append("two gateways advertise the same prefix")
    if any(high - low < 4 for low, high in advertised):
        found.append("a prefix longer than /30")
    whole = sum(high - low for low, high in (span(region.node_cidr), span(region.pod_cidr)))
    for node in gateways:
        spans = [span(prefix) for prefix in node.advertise]
        if collide(spans) or sum(high - low for low, high in spans) != whole:
            found.append(f"{node.name} does not cover the region exactly")
        if not all(
            inside(item, span(region.node_cidr)) or inside(item, span(region.pod_cidr)) for item in spans
        ):
            found.append(f"{node.name} advertises foreign addresses")
    return found


def span(cidr: IPv4Network) -> Span:
    low = int(cidr.network_address)
    return low, low + 2 ** (32 - cidr.prefixlen)


def collide(spans: list[Span]) -> bool:
    return any(first[1] > second[0] for first, second in pairwise(sorted(spans)))


def inside(inner: Span, outer: Span) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]
