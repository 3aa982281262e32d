"""The rig itself: the regions, machines, gateways and the control server of one plan, brought up in a world."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from lab import headscale, processes
from lab.records import Records
from lab.rig import gateway, lan, node
from lab.rig.machines import Machine
from lab.rig.plan import Shape, plan_of
from lab.rig.world import HOME
from lab.shell import LabError
from network.plan import NetworkPlan, NodePlan, RegionPlan
from network.tailnet_policy import tailnet_policy
from tools import paths

# The machine's tasks wait for the kernel and for programs more than they compute.
_THREADS = 6
_LINKED_WITHIN = 20.0


def plan_routes(one: NodePlan, region: RegionPlan) -> Sequence[IPv4Network]:
    """The product's ladder: every gateway covers its region by prefixes of a length of its own."""
    return one.advertise


@dataclass
class Rig:
    shape: Shape
    probing: Mapping[str, str] = field(default_factory=lambda: headscale.SHORTEST_PROBING)
    routes: Callable[[NodePlan, RegionPlan], Sequence[IPv4Network]] = plan_routes
    extra_shared: Sequence[Path] = ()

    def __post_init__(self) -> None:
        self.plan: NetworkPlan = plan_of(self.shape)
        self.records: Records = lan.records_of(self.plan)
        shared = self._shared()
        self.nodes: dict[str, NodePlan] = {
            one.name: one for region in self.plan.regions for one in region.nodes
        }
        self.machines = {name: Machine(name, shared) for name in self.nodes}
        self.keys: dict[str, str] = {}
        self.tailnet_addresses: dict[str, str] = {}

    def _shared(self) -> tuple[Path, ...]:
        python = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve()}
        return tuple({gateway.programs(), paths.repo_root(), *python, *self.extra_shared})

    # Bringing up.

    def up(self) -> None:
        lan.create(self.records)
        with ThreadPoolExecutor(_THREADS) as threads:
            server = threads.submit(self._control_server)
            machines = [threads.submit(self._machine, one) for one in self.nodes.values()]
            server.result()
            for done in machines:
                done.result()
            list(threads.map(self.start_gateway, self.gateways()))
            list(threads.map(self.wait_until_joined, self.gateways()))
        self.wait_until_linked()

    def _control_server(self) -> None:
        headscale.ensure(self.probing)
        policy = HOME / "policy.json"
        policy.write_text(json.dumps(tailnet_policy(self.plan)))
        headscale.command("policy", "set", "--file", str(policy))
        for region in self.plan.regions:
            made = json.loads(headscale.command("preauthkeys", "create", "--reusable", "--tags", region.tag))
            self.keys[region.name] = made["key"]

    def _machine(self, one: NodePlan) -> None:
        machine = self.machines[one.name]
        node.lay_files(machine, one, self.region(one), self.plan)
        self.power_on(one)

    def power_on(self, one: NodePlan) -> None:
        machine = self.machines[one.name]
        machine.boot()
        lan.connect(machine, self.records)
        node.start(machine, one)

    def start_gateway(self, one: NodePlan) -> None:
        region, machine = self.region(one), self.machines[one.name]
        gateway.lay_files(machine, self.keys[region.name])
        gateway.start(machine, region, self.routes(one, region))

    def wait_until_joined(self, one: NodePlan) -> None:
        self.tailnet_addresses[one.name] = gateway.wait_until_joined(self.machines[one.name])
        node.start_kube_proxy(self.machines[one.name])

    def wait_until_linked(self) -> None:
        """Until every gateway sees that the control server has given every peer a prefix."""
        deadline = time.monotonic() + _LINKED_WITHIN
        waiting = {one.name for one in self.gateways()}
        while waiting:
            for name in sorted(waiting):
                if self._linked(name):
                    waiting.discard(name)
            if time.monotonic() > deadline:
                seen = {name: gateway.primaries(self.machines[name]) for name in sorted(waiting)}
                raise LabError(f"gateways without their peers' prefixes after {_LINKED_WITHIN:.0f} s: {seen}")
            time.sleep(0.1)

    def _linked(self, name: str) -> bool:
        # An equal prefix belongs to one gateway of its region, so not each of them has one in every setup.
        mine = self.nodes[name].region
        seen = gateway.primaries(self.machines[name])
        owners = {self.nodes[peer].region for peer, owned in seen.items() if owned and peer in self.nodes}
        return {region.name for region in self.plan.regions} - {mine} <= owners

    # Looking things up.

    def region(self, one: NodePlan | str) -> RegionPlan:
        return self.plan.region(one if isinstance(one, str) else one.region)

    def gateways(self, region: str | None = None) -> list[NodePlan]:
        regions = [self.plan.region(region)] if region else self.plan.regions
        return [one for each in regions for one in each.gateways]

    def plain_nodes(self, region: str) -> list[NodePlan]:
        return [one for one in self.plan.region(region).nodes if one.role != "gateway"]

    def machine(self, one: NodePlan) -> Machine:
        return self.machines[one.name]

    def pod_namespace(self, one: NodePlan) -> str:
        """A path that opens the namespace of the node's pod."""
        return f"/proc/{self.machine(one).pid}/root{node.POD}"

    def tailnet_address(self, one: NodePlan) -> str:
        return self.tailnet_addresses[one.name]

    # The control server's fate.

    def stop_control_server(self) -> None:
        if pid := processes.daemon("headscale"):
            processes.end({pid}, within=5)

    def start_control_server(self) -> None:
        headscale.ensure(self.probing)


def versions() -> dict[str, str]:
    """The programs and the kernel that a measurement was made with."""
    tools = {name: _version(name) for name in ("tailscaled", "headscale")}
    kernel = os.uname().release
    return tools | {"kernel": kernel, "processors": str(os.cpu_count())}


def _version(name: str) -> str:
    from lab.preflight import program
    from lab.shell import run

    words = ["version"] if name == "headscale" else ["--version"]
    return run([program(name), *words]).stdout.split("\n")[0].split()[-1]
