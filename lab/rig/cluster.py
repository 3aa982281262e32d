"""The whole lab under the rig's streams: real pods behind the CNI and kube-proxy, real kubelets, a gateway that fails.

It needs a lab that is up (`make up`), measures events of the rig's catalogue, and leaves the cluster as it was.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bootstrap.gateway import AGENT_HTTP_PORT
from lab import cloud
from lab.rig.catalogue import CLUSTER_ONLY, EVENTS
from lab.rig.events import BOTH, Event, Step, Way
from lab.rig.result import Result
from lab.rig.streams import Streams, Window
from lab.shell import LabError, run
from tools import paths

SETUP = "agent, whole cluster"
NAMESPACE = "failover-bench"
IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.53"
# A plain node of each region of the dev stack, and the region whose gateways fail.
NODES = {"hub": "hub-cp-1", "gpu": "gpu-c"}
VICTIMS = ("gpu-a", "gpu-b")
GATEWAYS = ("hub-gw-1", "hub-gw-2", *VICTIMS)
FLOWS, CONNECTIONS = 8, 4
_QUIET = 1.0
# A kubelet waits up to 300 s before it starts a container that was killed several times (MaxContainerBackOff).
_SETTLES_WITHIN = 360.0
_STARTS_WITHIN = 90.0
_API_DOWN = "INPUT -p tcp --dport 6443 -j DROP"

Act = Callable[[str], None]


@dataclass(frozen=True)
class Action:
    """What is done to a gateway, and how that is undone."""

    do: Act
    undo: Act


def measure(runs: int, events: str, report: Callable[[Result], None], patience: float = 20.0) -> None:
    """Every event so many times, a result for each of its steps."""
    names = [name for name in events.split(",") if name] or list(ACTIONS)
    if unknown := [name for name in names if name not in ACTIONS]:
        raise LabError(f"events {', '.join(unknown)}: on the whole cluster there are {', '.join(ACTIONS)}")
    with _Bench(report, patience) as bench:
        for name in names:
            for number in range(runs):
                bench.run(name, VICTIMS[number % len(VICTIMS)], number)


class _Bench:
    def __init__(self, report: Callable[[Result], None], patience: float) -> None:
        self._report, self._patience = report, patience
        self._names: dict[Way, str] = {"in": "hub to gpu", "out": "gpu to hub"}

    def __enter__(self) -> _Bench:
        pods = start_pods({region: [node] * FLOWS for region, node in NODES.items()})
        pairs = list(zip(pods["hub"], pods["gpu"], strict=True))
        flows = {
            "hub to gpu": [[*here, *there] for here, there in pairs],
            "gpu to hub": [[*there, *here] for here, there in pairs],
        }
        self.streams = Streams(flows, paths.lab_dir() / "failover-prober.log")
        return self

    def __exit__(self, *_: object) -> None:
        self.streams.close()
        remove_pods()

    def run(self, name: str, victim: str, number: int) -> None:
        settle()
        if self.streams.wait_until_good(seconds=_QUIET, within=60) is None:
            raise LabError(f"the whole cluster: no second without loss: {self.streams.bad(_QUIET)}")
        self.streams.connect(CONNECTIONS)
        action, (event, first) = ACTIONS[name], step_of(name, "failure")
        self._measured(event, first, victim, number, action.do)
        recovery = next((step for step in event.steps if step.part == "recovery"), None)
        if recovery is None:
            action.undo(victim)
        else:
            self._measured(event, recovery, victim, number, action.undo, settles=True)

    def _measured(
        self, event: Event, step: Step, victim: str, number: int, do: Act, *, settles: bool = False
    ) -> None:
        self.streams.begin()
        time.sleep(_QUIET / 2)
        begun, at = time.monotonic(), datetime.now(UTC).isoformat(timespec="milliseconds")
        do(victim)
        if settles:
            settle()
        recovered = self.streams.wait_until_good(seconds=_QUIET, within=self._patience) is not None
        window = self.streams.end()
        self._report(self._result(event, step, victim, number, window, recovered, begun, at))

    def _result(
        self,
        event: Event,
        step: Step,
        victim: str,
        number: int,
        window: Window,
        recovered: bool,
        begun: float,
        at: str,
    ) -> Result:
        ways = {way: window.streams[name] for way, name in self._names.items()}
        return Result(
            setup=SETUP,
            event=event.name,
            part=step.part,
            run=number,
            victim=victim,
            at=at,
            working=len(BOTH) * FLOWS,
            flows=len(BOTH) * FLOWS,
            sent=sum(stream.sent for stream in ways.values()),
            lost={way: stream.lost for way, stream in ways.items()},
            gap={way: stream.gap for way, stream in ways.items()},
            last={way: stream.last for way, stream in ways.items()},
            lost_inside=0,
            recovered=recovered,
            watched=time.monotonic() - begun,
            broken=len(window.broken),
            stall=window.stall,
        )


def step_of(event: str, part: str) -> tuple[Event, Step]:
    found = next(one for one in (*EVENTS, *CLUSTER_ONLY) if one.name == event)
    return found, next(step for step in found.steps if step.part == part)


# What can be asked of the cluster.


def settle(within: float = _SETTLES_WITHIN) -> None:
    """Until every gateway carries traffic, none has another's tiles, and the plain nodes use all of theirs."""
    deadline = time.monotonic() + within
    while waiting := list(_unsettled()):
        if time.monotonic() > deadline:
            raise LabError(f"not the normal state after {within:.0f} s: {'; '.join(waiting)}")
        time.sleep(0.5)


def _unsettled() -> Iterator[str]:
    for machine in (*GATEWAYS, *NODES.values()):
        metrics = agent_says(machine, "metrics") or ""
        values = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in metrics.splitlines()}
        if not values or (machine in GATEWAYS and agent_says(machine, "readyz") is None):
            yield f"{machine} is not ready"
        elif values.get("tailspan_agent_claims", "0") != "0":
            yield f"{machine} has another's tiles"
        elif unused := [name for name, value in values.items() if "_in_use{" in name and value == "0"]:
            yield f"{machine} does not use {', '.join(unused)}"


def agent_says(machine: str, path: str) -> str | None:
    """The answer of a machine's agent; None if that is no success."""
    with suppress(LabError):
        done = cloud.run_in(
            machine,
            ["curl", "-sf", "-m2", f"http://127.0.0.1:{AGENT_HTTP_PORT}/{path}"],
            check=False,
            timeout=10,
        )
        return done.stdout if done.returncode == 0 else None
    return None


def start_pods(places: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[str, str]]]:
    """Pods that serve their name on port 8080. `places`: nodes by group; returns namespaces and addresses by group."""
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=90)
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    ]
    wanted = [
        (f"{group}-{n}", group, node) for group, nodes in places.items() for n, node in enumerate(nodes)
    ]
    objects += [_pod(*one) for one in wanted]
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    deadline = time.monotonic() + _STARTS_WITHIN
    while True:
        items = json.loads(kubectl("get", "pods", "-n", NAMESPACE, "-o", "json"))["items"]
        running = [pod["status"]["podIP"] for pod in items if pod["status"]["phase"] == "Running"]
        if len(running) == len(wanted):
            break
        if time.monotonic() > deadline:
            raise LabError(f"{NAMESPACE}: {len(running)} of {len(wanted)} pods run after 90 s")
        time.sleep(0.5)
    namespaces = dict(_namespaces())
    found: dict[str, list[tuple[str, str]]] = {group: [] for group in places}
    for pod in items:
        address = pod["status"]["podIP"]
        found[pod["metadata"]["labels"]["group"]].append((namespaces[address], address))
    return found


def remove_pods() -> None:
    kubectl("delete", "namespace", NAMESPACE, "--wait=false", check=False)


def _pod(name: str, group: str, node: str) -> dict[str, Any]:
    container = {
        "name": "pod",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["netexec", "--http-port=8080"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"group": group}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 1,
            # Only what keeps pods from starting: how long they stay in a region that is cut off is the cluster's say.
            "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
            "containers": [container],
        },
    }


def _namespaces() -> Iterator[tuple[str, str]]:
    """The address of every pod that runs this image, and a path that opens its network namespace."""
    seen: set[str] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, LabError):
            if (entry / "comm").read_text().strip() != "agnhost":
                continue
            namespace = os.readlink(entry / "ns/net")
            if namespace in seen:
                continue
            seen.add(namespace)
            shown = run(["nsenter", f"--net={entry}/ns/net", "ip", "-4", "-o", "addr", "show", "eth0"]).stdout
            yield shown.split()[3].partition("/")[0], f"{entry}/ns/net"


def kubectl(*words: str, stdin: str | None = None, timeout: float = 30, check: bool = True) -> str:
    program: list[str | Path] = [paths.bin_dir() / "kubectl", "--kubeconfig", paths.lab_dir() / "kubeconfig"]
    return run([*program, "--request-timeout=20s", *words], stdin=stdin, timeout=timeout, check=check).stdout


# What is done to a gateway.


def _sh(machine: str, script: str, *, check: bool = True) -> None:
    cloud.run_in(machine, ["bash", "-ec", script], check=check, timeout=60)


def _kill(pattern: str) -> Act:
    return lambda victim: _sh(victim, f"pkill -KILL {pattern}")


def _power_on(victim: str) -> None:
    cloud.power_on(victim)


def _nothing(_: str) -> None:
    """The kubelet does it."""


def drain(victim: str, *words: str) -> None:
    """As `make drain`."""
    argv = [sys.executable, "-m", "check.drain", victim, *words]
    done = subprocess.run(
        argv, cwd=paths.repo_root(), capture_output=True, text=True, timeout=90, check=False
    )
    if done.returncode:
        raise LabError(f"drain {victim}: {done.stdout}{done.stderr}")


def _drain_and_kill(victim: str) -> None:
    drain(victim)
    _sh(victim, "pkill -TERM -x containerboot")


def _drain_and_reboot(victim: str) -> None:
    drain(victim)
    cloud.reboot(victim)


def roll(_: str) -> None:
    """The cloud region's DaemonSet, one gateway after the other, as the kubelet's readiness says."""
    kubectl("-n", "tailscale", "rollout", "restart", "daemonset/subnet-router")
    kubectl("-n", "tailscale", "rollout", "status", "daemonset/subnet-router", "--timeout=180s", timeout=200)


def _without_api(victim: str) -> None:
    _sh("hub-cp-1", f"iptables -w -I {_API_DOWN}")
    time.sleep(2)
    cloud.power_off(victim)


def _with_api(victim: str) -> None:
    _sh("hub-cp-1", f"iptables -w -D {_API_DOWN}", check=False)
    cloud.power_on(victim)


ACTIONS: dict[str, Action] = {
    "power_off": Action(cloud.power_off, _power_on),
    "kill_tailscaled": Action(_kill("-x tailscaled"), _nothing),
    "kill_pod": Action(_kill("'containerboot|tailscaled' ; pkill -KILL -f [a]gent.pyz"), _nothing),
    "kill_agent": Action(_kill("-f [a]gent.pyz"), _nothing),
    "no_forwarding": Action(
        lambda victim: _sh(victim, "sysctl -qw net.ipv4.ip_forward=0"),
        lambda victim: _sh(victim, "sysctl -qw net.ipv4.ip_forward=1"),
    ),
    "drain": Action(_drain_and_kill, _nothing),
    "reboot": Action(_drain_and_reboot, _nothing),
    "rolling": Action(roll, _nothing),
    "without_api": Action(_without_api, _with_api),
}
