"""The whole lab's GPU region cut off from everything for a while: what runs there goes on, and comes back.

It needs a lab that is up (`make up`).
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial

from lab import addresses, cloud, records
from lab.rig import cluster
from lab.rig.sockets import in_namespace
from lab.rig.streams import Streams
from lab.shell import LabError, run
from tools import paths

REGION = "gpu"
MACHINES = ("gpu-a", "gpu-b", "gpu-c")
_FAR, _NEAR, _HERE = "hub", "near", "here"
_PODS = 4
_QUIET, _HEALS_WITHIN = 1.0, 60.0
_ASKED_EVERY, _ANSWERS_WITHIN = 1.0, 2.0
_NAME = ("kubernetes", "default", "svc", "cluster", "local")
_SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "near", "namespace": cluster.NAMESPACE},
    "spec": {"selector": {"group": _NEAR}, "ports": [{"port": 80, "targetPort": 8080}]},
}


@dataclass
class CutOff:
    """`gone`: containers that did not outlive it. The counts are of what was asked inside the region meanwhile."""

    seconds: float
    gone: list[str] = field(default_factory=list)
    probes_lost: int = 0
    names_asked: int = 0
    names_failed: int = 0
    service_asked: int = 0
    service_failed: int = 0
    # Seconds until traffic with the other region flowed again.
    back: float | None = None

    @property
    def holds(self) -> bool:
        failed = self.gone or self.probes_lost or self.names_failed or self.service_failed
        asked = self.names_asked and self.service_asked
        return not failed and bool(asked) and self.back is not None and self.back <= 5.0


def measure(seconds: float, say: Callable[[str], None]) -> dict[str, object]:
    """Cuts the region off for so long; returns a CutOff's fields and whether it holds."""
    places = {_FAR: ["hub-cp-1"] * _PODS, _NEAR: ["gpu-a"] * _PODS, _HERE: ["gpu-c"] * _PODS}
    pods = cluster.start_pods(places)
    try:
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(_SERVICE))
        service = _address("near", cluster.NAMESPACE)
        across = [[*here, *there] for here, there in zip(pods[_FAR], pods[_HERE], strict=True)]
        within = [[*here, *there] for here, there in zip(pods[_NEAR], pods[_HERE], strict=True)]
        streams = Streams({"across": across, "inside": within}, paths.lab_dir() / "cut-off-prober.log")
        try:
            if streams.wait_until_good(seconds=_QUIET, within=_HEALS_WITHIN) is None:
                raise LabError(f"no second without loss before the region was cut off: {streams.bad(_QUIET)}")
            say(f"{REGION} is cut off for {seconds:.0f} s")
            made = _cut(streams, pods[_HERE][0][0], service, seconds, say)
        finally:
            streams.close()
    finally:
        cluster.remove_pods()
    return asdict(made) | {"holds": made.holds}


def _cut(streams: Streams, pod: str, service: str, seconds: float, say: Callable[[str], None]) -> CutOff:
    made, before = CutOff(seconds), _containers()
    dns = _address("kube-dns", "kube-system")
    streams.begin()
    with _without_uplink():
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            made.names_asked += 1
            made.names_failed += not _resolves(pod, dns)
            made.service_asked += 1
            made.service_failed += not _serves(pod, service)
            time.sleep(_ASKED_EVERY)
        made.probes_lost = streams.end().streams["inside"].lost
        made.gone = sorted(before - _containers())
        streams.begin()
    say("it is connected again")
    if streams.wait_until_good(seconds=_QUIET, within=_HEALS_WITHIN) is not None:
        made.back = streams.end().streams["across"].last
    made.gone = sorted({*made.gone, *(before - _containers())})
    return made


@contextmanager
def _without_uplink() -> Iterator[None]:
    port = addresses.internet_port(records.read().network(REGION).public_ip)
    link = ["ip", "-n", addresses.INTERNET, "link", "set", port]
    run([*link, "down"])
    try:
        yield
    finally:
        run([*link, "up"])


def _containers() -> set[str]:
    """Every container of the region's machines that runs, as "machine: id"."""
    found = set()
    for machine in MACHINES:
        listed = cloud.run_in(machine, ["ctr", "-n", "k8s.io", "tasks", "ls"], timeout=20).stdout
        found |= {
            f"{machine}: {line.split()[0]}"
            for line in listed.splitlines()
            if line.split()[-1:] == ["RUNNING"]
        }
    return found


def _address(service: str, namespace: str) -> str:
    return cluster.kubectl("get", "service", service, "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")


def _resolves(pod: str, server: str) -> bool:
    """A query of its own port each time, so that it meets every server in turn."""
    number = os.urandom(2)
    name = b"".join(bytes([len(label)]) + label.encode() for label in _NAME) + b"\0"
    query = number + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", 1, 1)
    with suppress(OSError), in_namespace(pod, partial(_socket, socket.SOCK_DGRAM)) as asking:
        asking.connect((server, 53))
        asking.send(query)
        answer = asking.recv(512)
        return answer[:2] == number and answer[3] & 0x0F == 0 and answer[6:8] != b"\0\0"
    return False


def _serves(pod: str, address: str) -> bool:
    with suppress(OSError), in_namespace(pod, partial(_socket, socket.SOCK_STREAM)) as asking:
        asking.connect((address, 80))
        asking.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
        return asking.recv(512).startswith(b"HTTP/1.0 200")
    return False


def _socket(kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.settimeout(_ANSWERS_WITHIN)
    return made
