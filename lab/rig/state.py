"""What an agent may change, read from the machines: kernel routes of nodes, advertised prefixes of gateways."""

from __future__ import annotations

import json

from lab.rig import gateway
from lab.rig.rig import Rig


def of_region(rig: Rig, region: str) -> dict[str, frozenset[str]]:
    """By machine; two of them can be compared. A machine that is off has none."""
    return {
        node.name: _advertised(rig, node.name) if node.role == "gateway" else _routes(rig, node.name)
        for node in rig.plan.region(region).nodes
        if rig.machines[node.name].is_on
    }


def changes(before: dict[str, frozenset[str]], after: dict[str, frozenset[str]]) -> list[str]:
    """One line for each route or prefix that came (+) or went (-)."""
    lines = []
    for name in sorted(before.keys() & after.keys()):
        lines += [f"{name}: + {item}" for item in sorted(after[name] - before[name])]
        lines += [f"{name}: - {item}" for item in sorted(before[name] - after[name])]
    return lines


def _routes(rig: Rig, name: str) -> frozenset[str]:
    shown = rig.machines[name].sh("ip route show; ip nexthop show")
    return frozenset(line.strip() for line in shown.splitlines())


def _advertised(rig: Rig, name: str) -> frozenset[str]:
    preferences = json.loads(gateway.tailscale(rig.machines[name], "debug", "prefs"))
    return frozenset(preferences.get("AdvertiseRoutes") or ())
