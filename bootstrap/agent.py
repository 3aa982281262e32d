"""What the route agent gets onto a machine: its configuration, its region's key, and itself as one file."""

from __future__ import annotations

import io
import json
import zipfile
from importlib.util import find_spec
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from network.plan import NetworkPlan, NodePlan, RegionPlan
from network.prefixes import LONGEST_POD_PREFIX, LONGEST_PREFIX, probe_address

CONFIG = "/etc/tailspan/agent/config.json"
KEY = "/etc/tailspan/agent/key"
PROGRAM = "/usr/local/lib/tailspan/agent.pyz"
SOCKET = "/run/tailscale/tailscaled.sock"
AGENT_PORT = 41642

# The modules of pyroute2 that agent/kernel needs: its message formats. The package's own __init__ imports all of it,
# which costs a second of processor time at every start; in the file it is empty.
PYROUTE2 = (
    "common.py",
    "netlink/__init__.py",
    "netlink/exceptions.py",
    "netlink/rtnl/__init__.py",
    "netlink/rtnl/fibmsg.py",
    "netlink/rtnl/ifaddrmsg.py",
    "netlink/rtnl/rtmsg.py",
)
_MAIN = "import sys\nfrom agent.__main__ import main\nsys.exit(main())\n"


def agent_files(node: NodePlan, region: RegionPlan, plan: NetworkPlan, key: str) -> dict[str, str]:
    """The agent's files on a machine, path by path. `key` is the region's: 64 hexadecimal digits, a secret."""
    return {CONFIG: json.dumps(agent_config(node, region, plan), indent=1) + "\n", KEY: key + "\n"}


def agent_config(
    node: NodePlan, region: RegionPlan, plan: NetworkPlan, socket: str = SOCKET
) -> dict[str, Any]:
    """config.json (agent/config.py says what each key means)."""
    config: dict[str, Any] = {
        "role": "gateway" if node.role == "gateway" else "node",
        "region": region.name,
        "name": node.name,
        "node_ip": str(node.node_ip),
        "pods": str(node.pod_cidr),
        "key_file": KEY,
        "reach": region.reach,
        "gateways": [{"name": gateway.name, "address": str(gateway.node_ip)} for gateway in region.gateways],
        "supernets": [str(plan.node_supernet), str(plan.pod_supernet)],
        "mtu": plan.mtu,
        "advmss": plan.mss,
    }
    if node.role == "gateway":
        config["ladder"] = _ladder(region, plan) | {"socket": socket}
    return config


def _ladder(region: RegionPlan, plan: NetworkPlan) -> dict[str, Any]:
    gateways = region.gateways
    return {
        "blocks": [
            _block(region.node_cidr, LONGEST_PREFIX, [IPv4Network(one.node_ip) for one in gateways]),
            _block(region.pod_cidr, LONGEST_POD_PREFIX, [one.pod_cidr for one in gateways])
            | {"node": gateways[0].pod_cidr.prefixlen},
        ],
        "probes": [
            [str(probe_address(region.pod_cidr, one, other)) for other in range(len(gateways))]
            for one in range(len(gateways))
        ],
        "targets": [
            {
                "name": gateway.name,
                "region": other.name,
                "address": str(probe_address(other.pod_cidr, number, number)),
            }
            for other in plan.regions
            if other.name != region.name
            for number, gateway in enumerate(other.gateways)
        ],
    }


def _block(prefix: IPv4Network, longest: int, own: list[IPv4Network]) -> dict[str, Any]:
    return {"prefix": str(prefix), "longest": longest, "own": [str(one) for one in own]}


def zipapp() -> bytes:
    """The agent as one file for `python agent.pyz`: the same bytes wherever it is made from the same sources."""
    root = Path(__file__).parent.parent
    spec = find_spec("pyroute2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("pyroute2 is not installed; run `make setup`")
    library = Path(spec.origin).parent
    files = {"__main__.py": _MAIN.encode(), "pyroute2/__init__.py": b""}
    files |= {str(path.relative_to(root)): path.read_bytes() for path in (root / "agent").rglob("*.py")}
    files |= {f"pyroute2/{name}": (library / name).read_bytes() for name in PYROUTE2}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(files.items()):
            # The oldest time that the format knows: no clock and no file mode of this machine gets in.
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return b"#!/usr/bin/env python3\n" + buffer.getvalue()
