"""Which pairs of regions will connect directly, which only through a relay, and how large their packets may be.

What is said here is expected from what the stack file states; `make check` measures the links that came up.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

from config.schema import FirewallRule, LabProvider, RegionConfig, StackConfig
from network.mtu import pair_mtu, tcp_mss
from network.plan import NetworkPlan, RegionPlan

Path = Literal["direct", "relayed", "none"]

TAILSCALE_PORT = 41641
ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class RegionLink:
    """
    The way between two regions; `one` comes before `other` in the plan: the hub first, then by name. The same region
    twice: the way between its machines, where that leads through the tailnet.
    """

    one: str
    other: str
    path: Path
    reason: str
    mtu: int  # bytes of a packet inside the tunnel
    mss: int  # bytes of a TCP segment in it


class Side(NamedTuple):
    """
    How the gateways of a region stand towards the internet. `open`: anybody can start a connection to them. `dials`:
    they can only start one, from a port that others can predict. `hidden`: from ports that nobody can predict.
    """

    kind: Literal["open", "dials", "hidden"]
    why: str


def region_links(config: StackConfig, plan: NetworkPlan) -> tuple[RegionLink, ...]:
    """Every pair of regions, with the path to expect and why; then every region whose machines are devices."""
    regions = {region.name: region for region in config.regions}
    between = [
        _link(one, regions[one.name], other, regions[other.name], config.tailnet.mtu)
        for one, other in combinations(plan.regions, 2)
    ]
    inside = [
        _inner_link(region, regions[region.name], config.tailnet.mtu)
        for region in plan.regions
        if region.mode == "per-node" and len(region.devices) > 1
    ]
    return (*between, *inside)


def _link(
    one: RegionPlan, one_config: RegionConfig, other: RegionPlan, other_config: RegionConfig, wanted: int
) -> RegionLink:
    silent = next((region.name for region in (one, other) if not region.devices), None)
    if silent is not None:
        path: Path = "none"
        reason = f"{silent} has no device in the tailnet"
    else:
        path, reason = _path(one.name, side(one_config), other.name, side(other_config))
    mtu = pair_mtu(one_config, other_config, wanted)
    return RegionLink(one=one.name, other=other.name, path=path, reason=reason, mtu=mtu, mss=tcp_mss(mtu))


def _inner_link(region: RegionPlan, config: RegionConfig, wanted: int) -> RegionLink:
    """Between machines of a per-node region; on a LAN they find each other's addresses there."""
    shared: tuple[Path, str] = ("direct", "its machines share a LAN")
    path, reason = shared if region.lan else _unseen(region.name, side(config))
    mtu = pair_mtu(config, config, wanted)
    return RegionLink(one=region.name, other=region.name, path=path, reason=reason, mtu=mtu, mss=tcp_mss(mtu))


def _unseen(name: str, each: Side) -> tuple[Path, str]:
    """Machines that share nothing: each stands towards the other as towards the internet."""
    if each.kind == "hidden":
        return "relayed", f"each machine of {name} {each.why}: none can dial another"
    if each.kind == "dials":
        return "direct", f"each machine of {name} {each.why}: two dial at once, each to a known port"
    return "direct", f"each machine of {name} {each.why}"


def side(region: RegionConfig) -> Side:
    """How a region's gateways stand towards the internet, from its provider, its reason and its openings."""
    nat = region.provider.nat if isinstance(region.provider, LabProvider) else None
    if nat == "hard":
        return Side("hidden", "is behind a NAT that picks another port for every destination")
    if region.no_inbound:
        return Side("hidden", f"accepts nothing from outside ({region.no_inbound})")
    if nat == "easy":
        return Side("dials", "is behind a NAT that keeps its port")
    if not any(opens_wireguard(rule) for rule in region.gateway_firewall):
        return Side("dials", f"does not open UDP {TAILSCALE_PORT} to everybody")
    return Side("open", f"can be reached at UDP {TAILSCALE_PORT}")


def opens_wireguard(rule: FirewallRule) -> bool:
    """Whether an opening lets every other region's gateway start a connection."""
    return rule.protocol == "udp" and rule.port == TAILSCALE_PORT and str(rule.source) == ANYWHERE


def _path(one: str, mine: Side, other: str, theirs: Side) -> tuple[Path, str]:
    """What meets without a relay, as https://tailscale.com/blog/how-nat-traversal-works explains it."""
    if mine.kind == theirs.kind == "open":
        return "direct", f"both can be reached at UDP {TAILSCALE_PORT}"
    for name, this, peer, that in ((one, mine, other, theirs), (other, theirs, one, mine)):
        if this.kind == "open":
            return "direct", f"{name} {this.why}; {peer} {that.why}, so it dials"
    if mine.kind == theirs.kind == "dials":
        return "direct", f"{one} {mine.why} and {other} {theirs.why}: both dial at once, each to a known port"
    return "relayed", f"{one} {mine.why} and {other} {theirs.why}: neither can dial the other"
