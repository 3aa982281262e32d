"""A gateway's Tailscale container without the container: containerboot and tailscaled with the product's settings."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

from agent.localapi import LocalApi, LocalApiError, Tailnet
from bootstrap import gateway as product
from bootstrap.connector import KEY_DIRECTORY, STATE_DIRECTORY
from bootstrap.gateway import CA_DIRECTORY, SOCKET, environment
from lab import headscale
from lab.preflight import program
from lab.rig.machines import Machine
from lab.shell import LabError
from network.plan import RegionPlan

CONTAINER = "containerboot"
_TAILNET = product.Tailnet(login_server=headscale.URL, private_ca=True, advertise_tags=False)
_JOINS_WITHIN = 20.0
_STOPS_WITHIN = 10.0


def programs() -> Path:
    """The folder of tailscale, tailscaled and containerboot; machines see it under the same path."""
    return Path(program("tailscaled")).resolve().parent


def lay_files(machine: Machine, key: str) -> None:
    machine.put(f"{CA_DIRECTORY}/ca.crt", headscale.ca_pem())
    machine.put(f"{KEY_DIRECTORY}/authkey", key, 0o600)


def start(machine: Machine, region: RegionPlan, routes: Iterable[IPv4Network]) -> None:
    """What kubelet does when it starts the container."""
    env = environment(_TAILNET, region.tag) | {
        "PATH": f"{programs()}:/usr/sbin:/usr/bin:/sbin:/bin",
        "TS_AUTHKEY": f"file:{KEY_DIRECTORY}/authkey",
        "TS_HOSTNAME": machine.name,
        "TS_KUBE_SECRET": "",
        "TS_STATE_DIR": STATE_DIRECTORY,
        "TS_SOCKET": SOCKET,
        "TS_ROUTES": ",".join(str(prefix) for prefix in routes),
    }
    machine.sh(f"mkdir -p {Path(SOCKET).parent}")
    machine.start(CONTAINER, [programs() / CONTAINER], env)


def stop(machine: Machine) -> None:
    """What kubelet does first when the pod is deleted."""
    machine.signal(CONTAINER, signal.SIGTERM)
    machine.wait_for_end(CONTAINER, within=_STOPS_WITHIN)


def kill_tailscaled(machine: Machine) -> None:
    for pid in machine.processes("tailscaled"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill(machine: Machine) -> None:
    """The whole container at once; the kernel removes its device, and with it the routes."""
    machine.signal(CONTAINER, signal.SIGKILL)
    kill_tailscaled(machine)


def tailscale(machine: Machine, *words: str, check: bool = True) -> str:
    return machine.run(programs() / "tailscale", f"--socket={SOCKET}", *words, check=check).stdout


def advertise(machine: Machine, routes: Iterable[IPv4Network]) -> None:
    tailscale(machine, "set", f"--advertise-routes={','.join(str(prefix) for prefix in routes)}")


def status(machine: Machine) -> Tailnet | None:
    """
    What tailscaled knows of itself and its peers; None while it does not answer. Asked of its socket and not of the
    command line: a program started five times a second would be a good part of what is measured.
    """
    try:
        return LocalApi(f"/proc/{machine.pid}/root{SOCKET}").tailnet()
    except LocalApiError:
        return None


def primaries(machine: Machine) -> dict[str, set[str]]:
    """The prefixes that the control server gives to each peer, by host name, as this gateway sees it."""
    seen = status(machine)
    return {peer.name: set(peer.routes) for peer in seen.peers} if seen else {}


def wait_until_joined(machine: Machine) -> str:
    """The gateway's tailnet address, once it has one."""
    deadline = time.monotonic() + _JOINS_WITHIN
    while time.monotonic() < deadline:
        seen = status(machine)
        if seen and seen.running and seen.me.addresses:
            return seen.me.addresses[0]
        time.sleep(0.1)
    tail = "\n".join(machine.log(CONTAINER).read_text(errors="replace").splitlines()[-15:])
    raise LabError(f"gateway {machine.name}: not in the tailnet within {_JOINS_WITHIN:.0f} s:\n{tail}")
