"""How fast, and at what price: one TCP stream from pod to pod through gateways, beside what it is compared with."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lab.rig import cpu, gateway, lan, routes
from lab.rig.node import pod_addresses
from lab.rig.rig import Rig
from lab.shell import LabError
from network.plan import NodePlan

# The port that the tailnet's policy opens between gateways (network/tailnet_policy.py, AGENT_PORT).
_PORT = 41642
_SECONDS = 5.0
_ROUNDS = 3
_ENDS_WITHIN = _KNOWN_WITHIN = 20.0
# bootstrap/hostnetwork.py has these for devices.
_SEGMENTS = """
table inet rig_segments {{
  chain forward {{
    type filter hook forward priority mangle; policy accept;
    oifname "tailscale0" tcp flags & (syn | rst) == syn tcp option maxseg size set {mss}
    iifname "tailscale0" tcp flags & (syn | rst) == syn tcp option maxseg size set {mss}
  }}
}}
"""
_NESTED = "192.0.2.1", "192.0.2.2"


@dataclass(frozen=True, kw_only=True)
class Speed:
    """`cpu_per_gb`: seconds of processor that all tailscaled took for each 10^9 bytes."""

    path: str
    gigabits: float
    cpu_per_gb: float


@dataclass(frozen=True)
class _End:
    namespace: str
    address: str


def measure(rig: Rig) -> list[Speed]:
    """A rig without agents; on every path between the first two regions lie the same two machines' tunnels."""
    here, there = (rig.plain_nodes(region.name)[0] for region in rig.plan.regions[:2])
    # The last gateway of a ladder receives; sending through it as well, each way takes the same two.
    out, back = (rig.gateways(node.region)[-1] for node in (here, there))
    routes.spread(rig, here, [out])
    routes.spread(rig, there, [back])
    hosts = [_End(f"/proc/{rig.machine(one).pid}/ns/net", rig.tailnet_address(one)) for one in (out, back)]
    pods = [_End(rig.pod_namespace(one), pod_addresses(one)[0]) for one in (here, there)]
    # In turn: on a machine that does other work as well, what one run is compared with has to be beside it.
    through = {"gateway to gateway, over the same tunnel": hosts, "pod to pod, through the gateways": pods}
    runs = [(path, _run(rig, path, ends)) for _ in range(_ROUNDS) for path, ends in through.items()]
    speeds = [_median([speed for path, speed in runs if path == one]) for one in through]
    nested = _nest(rig, (here, there))
    speeds.append(_run(rig, "pod to pod, VXLAN nested in the tunnel", nested))
    _make_devices(rig, (here, there))
    speeds.append(_run(rig, "pod to pod, tailscaled on both nodes (per-node mode)", pods))
    return speeds


def _nest(rig: Rig, ends: tuple[NodePlan, NodePlan]) -> list[_End]:
    """A VXLAN between the two pods, as an overlay network would lay it."""
    for node, other, address in zip(ends, ends[::-1], _NESTED, strict=True):
        local, remote = pod_addresses(node)[0], pod_addresses(other)[0]
        rig.machine(node).sh(
            f"""
            ip -n pod link add nest type vxlan id 7 dstport 8472 local {local} remote {remote}
            ip -n pod link set nest mtu {rig.plan.mtu - 50} up
            ip -n pod addr add {address}/30 dev nest
            """
        )
    return [_End(rig.pod_namespace(node), address) for node, address in zip(ends, _NESTED, strict=True)]


def _make_devices(rig: Rig, nodes: Sequence[NodePlan]) -> None:
    """The nodes become devices of the tailnet that advertise their own pods, longer prefixes than any gateway's."""
    for node in nodes:
        machine, region = rig.machine(node), rig.region(node)
        lan.publish(rig.records, node)
        gateway.lay_files(machine, rig.keys[region.name])
        # As the product does on a device: gateways of its own region advertise its pods, too; and segments that fit.
        machine.run("ip", "rule", "add", "to", str(node.pod_cidr), "lookup", "main", "pref", "2500")
        routes.leave_to_tailscaled(machine, rig.plan)
        machine.run("nft", "-f", "-", stdin=_SEGMENTS.format(mss=rig.plan.mss))
        gateway.start(machine, region, [node.pod_cidr])
    for node in nodes:
        gateway.wait_until_joined(rig.machine(node))
    deadline = time.monotonic() + _KNOWN_WITHIN
    while unknown := [one.name for one in nodes if not _known(rig, one, nodes)]:
        if time.monotonic() > deadline:
            raise LabError(f"{', '.join(unknown)}: prefixes not in the tailnet after {_KNOWN_WITHIN:.0f} s")
        time.sleep(0.2)


def _known(rig: Rig, node: NodePlan, watchers: Sequence[NodePlan]) -> bool:
    seen = [gateway.primaries(rig.machine(one)) for one in watchers if one is not node]
    return all(str(node.pod_cidr) in known.get(node.name, ()) for known in seen)


def _run(rig: Rig, path: str, ends: Sequence[_End]) -> Speed:
    source, target = ends
    before = _tailscaled(rig)
    told = _blast(source, target)
    used = _tailscaled(rig) - before
    return Speed(
        path=path,
        gigabits=told["bytes"] * 8 / told["seconds"] / 1e9,
        cpu_per_gb=used / (told["bytes"] / 1e9),
    )


def _median(speeds: Sequence[Speed]) -> Speed:
    return sorted(speeds, key=lambda speed: speed.gigabits)[len(speeds) // 2]


def _blast(source: _End, target: _End) -> dict[str, float]:
    taker = _start(target, "take", target.address, str(_PORT))
    assert taker.stdout is not None
    if not taker.stdout.readline():
        raise LabError(f"{target.address}: nothing can listen there")
    sender = _start(source, "send", target.address, str(_PORT), str(_SECONDS))
    try:
        sender.wait(timeout=_SECONDS + _ENDS_WITHIN)
        answer, _ = taker.communicate(timeout=_ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        raise LabError(f"the stream to {target.address} does not end") from None
    else:
        if sender.returncode or taker.returncode:
            raise LabError(f"the stream to {target.address} broke off")
    finally:
        for process in (sender, taker):
            process.kill()
    return dict(json.loads(answer))


def _start(end: _End, *words: str) -> subprocess.Popen[str]:
    command = ["nsenter", f"--net={end.namespace}", sys.executable, "-m", "lab.rig.blast", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _tailscaled(rig: Rig) -> float:
    used = [cpu.of_machine(machine).get("tailscaled") for machine in rig.machines.values()]
    return sum(one.seconds for one in used if one)
