"""A bad path in user space: a cable cut open, with a program in between that delays and loses frames, both ways.

The kernel here has no netem, and a path that bad needs no throughput.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from lab import addresses
from lab.rig import lan
from lab.rig.rig import Rig
from lab.rig.world import LOGS
from lab.shell import LabError, inside, ip_batch, run
from network.plan import NodePlan

_ENDS = "rel-a", "rel-b"
_WHOLE = ("tx", "off", "gso", "off", "tso", "off")


def splice(rig: Rig, node: NodePlan, *, delay: float, loss: float) -> subprocess.Popen[bytes]:
    """
    Puts the relay into the cable of a machine on a shared LAN; its process ends it, `unsplice` mends the cable.
    `delay` is added in each direction (s), `loss` is each frame's chance to vanish.
    """
    router, port = lan.router_of(node.region), addresses.machine_port(node.node_ip)
    outer, inner = _ENDS
    ip_batch([f"link add {outer} type veth peer name {inner}", f"link set {inner} up"], router)
    # A frame that is handed to a program must be whole: checksums filled in, nothing left to cut into segments.
    for device in (outer, inner, port):
        run([*inside(router), "ethtool", "-K", device, *_WHOLE, "gro", "off"])
    rig.machine(node).run("ethtool", "-K", lan.CABLE, *_WHOLE)
    words = [sys.executable, "-m", "lab.rig.badpath", port, inner, str(delay), str(loss)]
    with (LOGS / "badpath.log").open("ab") as log:
        process = subprocess.Popen([*inside(router), *words], stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    if not process.stdout.readline():
        raise LabError(f"the bad path did not come up:\n{(LOGS / 'badpath.log').read_text()}")
    # Only now does the machine's port leave the bridge, and the pair takes its place.
    ip_batch([f"link set {port} nomaster", f"link set {outer} master {addresses.LAN_BRIDGE} up"], router)
    return process


def unsplice(node: NodePlan, relay: subprocess.Popen[bytes]) -> None:
    router, port = lan.router_of(node.region), addresses.machine_port(node.node_ip)
    relay.send_signal(signal.SIGKILL)
    relay.wait()
    ip_batch([f"link del {_ENDS[0]}", f"link set {port} master {addresses.LAN_BRIDGE}"], router)
