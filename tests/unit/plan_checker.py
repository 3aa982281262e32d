"""A second opinion on network plans: from a stack file as it was written and the plan as it was exported.

It shares no code with the plan and imports nothing of it: addresses are bare integers, and what a stack file means
is said here once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

Data = dict[str, Any]
Span = tuple[int, int]

PUBLIC_PORT = ("udp", 41641, "0.0.0.0/0")
# The ranges that nobody's machines, pods or Services may have.
TAKEN = (
    "0.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.17.0.0/16",
    "198.51.100.0/24",
    "224.0.0.0/3",
)
UNDIALLED = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
)
DEFAULTS = {
    "service_cidr": "10.96.0.0/16",
    "pod_supernet": "10.128.0.0/9",
    "node_supernet": "10.0.0.0/9",
    "node_pod_prefix": 24,
}


def faults(data: Data, exported: Data) -> list[str]:
    """What is wrong with an exported plan for a stack file; empty if it may be built."""
    cluster = {**DEFAULTS, **data["kubernetes"]}
    written = {region["name"]: region for region in data["regions"]}
    planned = {region["name"]: region for region in exported["regions"]}
    if list(planned) != sorted(written, key=lambda name: (written[name]["kind"] != "cloud", name)):
        return ["the plan has other regions than the file, or another order"]
    found = [*_ranges(data, cluster, planned), *_cluster(data, exported)]
    for name, region in planned.items():
        lines = [*_region(written[name], region, cluster), *_gateways(written[name], region, data)]
        lines += [*_approved(region, exported["policy"]), *_logins(written[name], data)]
        found += [f"{name}: {line}" for line in lines]
    return found + list(_links(data, exported))


def _ranges(data: Data, cluster: Data, planned: dict[str, Data]) -> Iterator[str]:
    named = {
        f"{name} {field}": region[field]
        for name, region in planned.items()
        for field in ("node_cidr", "pod_cidr")
    }
    named["services"] = cluster["service_cidr"]
    for (one, first), (other, second) in combinations(named.items(), 2):
        if meet(span(first), span(second)):
            yield f"{one} and {other} share addresses"
    others = [*TAKEN, *(item["cidr"] for item in data.get("reserved", []))]
    for name, cidr in named.items():
        yield from (f"{name} touches {other}" for other in others if meet(span(cidr), span(other)))
    nodes, pods = span(cluster["node_supernet"]), span(cluster["pod_supernet"])
    if meet(nodes, pods) or meet(pods, span(cluster["service_cidr"])):
        yield "pods cannot be told from nodes or Services"
    for item in data.get("reserved", []):
        if meet(nodes, span(item["cidr"])) or meet(pods, span(item["cidr"])):
            yield f"{item['cidr']} would be routed to the gateways"
    for region in data["regions"]:
        for cidr in region.get("lan_ranges", []):
            foreign = {name for name in named if not name.startswith(f"{region['name']} ")}
            yield from (
                f"{name} is at home in {region['name']}"
                for name in foreign
                if meet(span(named[name]), span(cidr))
            )


def _cluster(data: Data, exported: Data) -> Iterator[str]:
    nodes = [node for region in exported["regions"] for node in region["nodes"]]
    if len({node["name"] for node in nodes}) != len(nodes):
        yield "a node name is used twice"
    if [node["role"] for node in nodes].count("control-plane") != 1:
        yield "not one control plane"
    devices = sum(1 for node in nodes if node["advertise"])
    limit = data["tailnet"].get("max_devices", 100 if data["tailnet"]["kind"] == "tailscale" else None)
    if limit is not None and devices > limit:
        yield "more devices than allowed"
    if exported["devices"] != devices:
        yield "the devices are not counted right"
    prefix = {**DEFAULTS, **data["kubernetes"]}["node_pod_prefix"]
    if not 1 <= exported["max_pods"] <= min(110, 2 ** (32 - prefix) - 3):
        yield "a machine may run more pods than it has addresses"


def _region(written: Data, region: Data, cluster: Data) -> Iterator[str]:
    if (region["node_cidr"], region["pod_cidr"]) != wanted_ranges(written, cluster):
        yield "its ranges are not those of the file"
    nodes, pods = span(region["node_cidr"]), span(region["pod_cidr"])
    if not inside(nodes, span(cluster["node_supernet"])) or not inside(pods, span(cluster["pod_supernet"])):
        yield "a range lies outside its supernet"
    addresses = [number(node["node_ip"]) for node in region["nodes"]]
    if len(set(addresses)) != len(addresses):
        yield "two machines have one address"
    router = 1 if written["provider"]["kind"] == "lab" else 0
    if not all(nodes[0] + router < address < nodes[1] - 1 for address in addresses):
        yield "a node IP is no host of the node range"
    size = 2 ** (32 - cluster["node_pod_prefix"])
    for node in region["nodes"]:
        low, high = span(node["pod_cidr"])
        if (low - pods[0], high - low) != ((number(node["node_ip"]) - nodes[0]) * size, size) or high > pods[
            1
        ]:
            yield f"the pods of {node['name']} are not where its address says"
    listed = {machine["name"]: machine["node_ip"] for machine in written.get("machines", [])}
    found = {node["name"]: node["node_ip"] for node in region["nodes"]}
    if any(found.get(name) != address for name, address in listed.items()):
        yield "a listed machine is missing or moved"
    if len(found) != len(listed) + sum(counted(written)):
        yield "the number of machines is not that of the file"


def _gateways(written: Data, region: Data, data: Data) -> Iterator[str]:
    gateways = [node for node in region["nodes"] if node["role"] == "gateway"]
    if per_node(written):
        yield from _devices(gateways, region)
        return
    if any(node["advertise"] for node in region["nodes"] if node not in gateways):
        yield "something else than a gateway advertises"
    if not 1 <= len(gateways) <= 4:
        yield "no gateway, or too many"
    flagged = sum(1 for machine in written.get("machines", []) if machine.get("gateway"))
    if len(gateways) != (flagged or written.get("gateways", {}).get("count")):
        yield "the gateways are not those of the file"
    if len(gateways) > 1 and version(data["tailnet"]["version"]) < (1, 98, 10):
        yield "several gateways with a tailscaled that drops what all but one send"
    yield from _ladder(gateways, region)


def _ladder(gateways: list[Data], region: Data) -> Iterator[str]:
    """Each gateway covers the whole region, by prefixes that no other has."""
    advertised = [span(prefix) for node in gateways for prefix in node["advertise"]]
    if len(set(advertised)) != len(advertised):
        yield "two gateways advertise the same prefix"
    blocks = [span(region["node_cidr"]), span(region["pod_cidr"])]
    # Below the last gateway's prefixes there are tiles, half as large at most, and each gateway may halve those once
    # more than the one before it. Of nodes one address is left then, of pods eight: less is for probes.
    for block, left in zip(blocks, (1, 8), strict=True):
        sizes = [high - low for low, high in advertised if inside((low, high), block)]
        if len(gateways) > 1 and any(size < left * 2 ** (len(gateways) + 1) for size in sizes):
            yield "no room to take over"
    yield from _probes(gateways, region)
    whole = sum(high - low for low, high in blocks)
    for node in gateways:
        spans = [span(prefix) for prefix in node["advertise"]]
        if (
            any(meet(*pair) for pair in combinations(spans, 2))
            or sum(high - low for low, high in spans) != whole
        ):
            yield f"{node['name']} does not cover the region exactly"
        if not all(any(inside(item, block) for block in blocks) for item in spans):
            yield f"{node['name']} advertises foreign addresses"


def _probes(gateways: list[Data], region: Data) -> Iterator[str]:
    """Each gateway has four addresses of its own among the region's pods, where no machine's pods are."""
    probes = [span(cidr) for cidr in region["probes"]]
    if len(probes) != len(gateways) or any(high - low != 4 for low, high in probes):
        yield "not four addresses for probes for each gateway"
    if any(meet(*pair) for pair in combinations(probes, 2)):
        yield "two gateways are probed at the same addresses"
    if not all(inside(probe, span(region["pod_cidr"])) for probe in probes):
        yield "addresses for probes are not the region's"
    if any(meet(probe, span(node["pod_cidr"])) for probe in probes for node in region["nodes"]):
        yield "addresses for probes are a machine's pods"


def _devices(gateways: list[Data], region: Data) -> Iterator[str]:
    """Where every machine is a device of its own: each advertises itself and its pods, and nothing else."""
    if gateways:
        yield "a gateway where every machine is its own"
    for node in region["nodes"]:
        if sorted(node["advertise"]) != sorted([f"{node['node_ip']}/32", node["pod_cidr"]]):
            yield f"{node['name']} does not advertise exactly itself"


def _approved(region: Data, policy: Data) -> Iterator[str]:
    """Every prefix is approved for the region's tag, and nothing of anybody else's is."""
    own = [span(region["node_cidr"]), span(region["pod_cidr"])]
    approved = [
        span(cidr) for cidr, tags in policy["autoApprovers"]["routes"].items() if region["tag"] in tags
    ]
    prefixes = [span(prefix) for node in region["nodes"] for prefix in node["advertise"]]
    prefixes += [span(cidr) for cidr in region["probes"]]
    if not all(any(inside(prefix, block) for block in approved) for prefix in prefixes):
        yield "a prefix is not approved"
    if not all(any(inside(block, mine) for mine in own) for block in approved):
        yield "its tag may advertise foreign addresses"
    if region["tag"] not in policy["tagOwners"]:
        yield "nobody owns its tag"


def _logins(written: Data, data: Data) -> Iterator[str]:
    """Machines that exist already: each is reached in its own way, and gateways by everybody."""
    if written["provider"]["kind"] != "ssh":
        if written["provider"].get("nat") and not written.get("no_inbound"):
            yield "hidden without a reason"
        return
    machines = {machine["name"]: machine for machine in written["machines"]}
    for name, machine in machines.items():
        jump = machine.get("jump")
        if not machine.get("host_key") or not (machine.get("address") or jump):
            yield f"{name} cannot be logged in to"
        if jump and (jump == name or not machines[jump].get("address") or machines[jump].get("jump")):
            yield f"{name} has no way through {jump}"
        address = machine.get("address") or ""
        dotted = address.replace(".", "").isdigit()
        hidden = dotted and any(inside((number(address),) * 2, span(cidr)) for cidr in UNDIALLED)
        device = machine.get("gateway") or per_node(written)
        if device and not written.get("no_inbound") and (hidden or not address):
            yield f"nobody can dial {name}"
    logins = [
        (machine["address"], machine.get("port", 22), machine.get("jump"))
        for region in data["regions"]
        if region["provider"]["kind"] == "ssh"
        for machine in region["machines"]
        if machine.get("address")
    ]
    if len(set(logins)) != len(logins):
        yield "two machines have one login"


def _links(data: Data, exported: Data) -> Iterator[str]:
    written = {region["name"]: region for region in data["regions"]}
    pairs = list(combinations([region["name"] for region in exported["regions"]], 2))
    # Machines that are devices of their own meet inside their region, too.
    pairs += [
        (region["name"], region["name"])
        for region in exported["regions"]
        if per_node(written[region["name"]]) and len(region["nodes"]) > 1
    ]
    if [(link["one"], link["other"]) for link in exported["links"]] != pairs:
        yield "the pairs of regions are not those of the plan"
    sizes = {name: packet(region, data["tailnet"].get("mtu", 1280)) for name, region in written.items()}
    for link in exported["links"]:
        mtu = min(sizes[link["one"]], sizes[link["other"]])
        if (link["mtu"], link["mss"]) != (mtu, mtu - 40):
            yield f"packets between {link['one']} and {link['other']} have the wrong size"
        if link["one"] == link["other"] and written[link["one"]]["provider"]["lan"] != "none":
            if link["path"] != "direct":
                yield f"machines of {link['one']} share a LAN"
            continue
        doors = [is_open(written[link["one"]]), is_open(written[link["other"]])]
        if any(doors) and link["path"] != "direct":
            yield f"{link['one']} and {link['other']} could meet"
        if (
            link["path"] == "direct"
            and not any(doors)
            and hides(written[link["one"]], written[link["other"]])
        ):
            yield f"{link['one']} and {link['other']} cannot meet"
    if exported["mtu"] != min(sizes.values()) or exported["mtu"] < 1280:
        yield "the stack's packets have the wrong size"


def packet(region: Data, wanted: int) -> int:
    """The largest packet, in bytes, inside the tunnel of a region."""
    lan = region.get("lan_mtu", 1500)
    wire = region.get("wan_mtu") or min(lan, 1500)
    vxlan = region["provider"]["lan"] == "routed" and not per_node(region)
    return int(min(wanted, wire - 80, lan - (50 if vxlan else 0)))


def is_open(region: Data) -> bool:
    rules = [(rule["protocol"], rule["port"], rule["source"]) for rule in region.get("gateway_firewall", [])]
    return PUBLIC_PORT in rules and not region.get("no_inbound") and not region["provider"].get("nat")


def hides(*regions: Data) -> bool:
    return any(region.get("no_inbound") or region["provider"].get("nat") == "hard" for region in regions)


def per_node(region: Data) -> bool:
    return bool(region.get("mode") == "per-node")


def wanted_ranges(region: Data, cluster: Data) -> tuple[str, str]:
    if region.get("slot") is None:
        return region["node_cidr"], region["pod_cidr"]
    slots = {"node_prefix": 24, "pod_prefix": 16, **cluster.get("slots", {})}
    found = []
    for kind in ("node", "pod"):
        low, _ = span(cluster[f"{kind}_supernet"])
        prefix = slots[f"{kind}_prefix"]
        found.append(f"{dotted(low + region['slot'] * 2 ** (32 - prefix))}/{prefix}")
    return found[0], found[1]


def counted(region: Data) -> list[int]:
    if region["kind"] == "gpu" or region["provider"]["kind"] == "ssh":
        return []
    groups = [group["count"] for group in region.get("node_groups", [])]
    return [region["control_plane"].get("machines", 1), region.get("gateways", {}).get("count", 0), *groups]


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def number(address: str) -> int:
    a, b, c, d = (int(part) for part in address.split("."))
    return a << 24 | b << 16 | c << 8 | d


def dotted(address: int) -> str:
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))


def span(cidr: str) -> Span:
    address, prefix = cidr.split("/")
    return number(address), number(address) + 2 ** (32 - int(prefix))


def meet(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def inside(inner: Span, outer: Span) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]
