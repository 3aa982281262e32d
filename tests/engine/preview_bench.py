"""`make bench-preview`: how long a preview takes, by the number of nodes, beside its floor and a naive shape.

Every run is a process of its own, as `make preview` is: launcher, engine, stand-in plugins, program and (where the
row says so) policies, on an empty state with a file backend. The rows take turns, so that whatever else the machine
does hits all of them alike; a row's figure is the median of its runs.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from tests.engine.preview_once import NAIVE_NODES
from tests.stacks import HOST_KEY, ROOT, put, ssh_region, stack_data
from tools import paths

Json = dict[str, Any]
ROUNDS = 5
PER_GROUP = 100
PER_REGION = 100


@dataclass
class Case:
    """One row: a stack file, the program that reads it, and what issue 4 asks of it (seconds)."""

    name: str
    stack: Json
    goal: float | None = None
    program: str = "stack"
    policies: bool = True
    nodes: int = 0
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    resources: int = 0

    @property
    def seconds(self) -> float:
        return statistics.median(self.wall)

    @property
    def work(self) -> float:
        """Seconds of all processors together."""
        return statistics.median(self.cpu)

    @property
    def folder(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower())


def grouped(nodes: int) -> Json:
    """The dev stack with that many nodes in node groups of its cloud region."""
    data = stack_data()
    first = IPv4Address("10.0.1.0")
    groups = [
        {
            "name": f"g{start // PER_GROUP}",
            "count": min(PER_GROUP, nodes - start),
            "first_ip": str(first + start),
        }
        for start in range(0, nodes, PER_GROUP)
    ]
    hub = data["regions"][0]
    hub |= {"node_cidr": "10.0.0.0/20", "pod_cidr": "10.128.0.0/12", "node_groups": groups}
    return put(data, "regions.1.pod_cidr", "10.144.0.0/16")


def over_ssh(machines: int) -> Json:
    """The dev stack and that many machines which exist already, in regions of a hundred with two gateways each."""
    data = stack_data()
    for number in range(machines // PER_REGION):
        name, network = f"rack-{number}", f"10.{number + 2}"
        listed = [
            {
                "name": f"{name}-{machine}",
                "node_ip": f"{network}.0.{machine + 10}",
                "address": f"203.0.{number}.{machine + 10}",
                "host_key": HOST_KEY,
                "gateway": machine < 2,
            }
            for machine in range(PER_REGION)
        ]
        opening = {"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}
        ranges = {"node_cidr": f"{network}.0.0/24", "pod_cidr": f"10.{130 + number}.0.0/16"}
        data["regions"].append(ssh_region(name=name, machines=listed, gateway_firewall=[opening], **ranges))
    return data


CASES = (
    Case("an empty program", stack_data(), program="empty", policies=False),
    Case("10 nodes in groups", grouped(10), 3),
    Case("100 nodes in groups", grouped(100), 4),
    Case("1000 nodes in groups", grouped(1000), 6),
    Case("1000 nodes in groups, no policies", grouped(1000), policies=False),
    # The engine hands a policy pack all of a stack's settings in one variable, of which Linux takes 128 KiB.
    Case("1000 SSH machines, no policies", over_ssh(1000), 12, policies=False),
    # Without policies, which would object to it at length.
    Case("1000 nodes, 4 resources each", stack_data(), program="naive", policies=False, nodes=1000),
)


# -- the measuring


def prepare(case: Case, folder: Path) -> None:
    source = folder / case.folder / "source"
    source.mkdir(parents=True)
    shutil.copy(ROOT / "Pulumi.yaml", source)
    settings = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    settings["config"]["tailspan:stack"] = case.stack
    (source / "Pulumi.dev.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


def run(case: Case, folder: Path) -> None:
    """One more run of a case; its seconds on the clock and on all processors together."""
    argv = [sys.executable, "-m", "tests.engine.preview_once", folder / case.folder, case.program]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [*map(str, argv), *([] if case.policies else ["--no-policies"])],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, NAIVE_NODES: str(case.nodes)},
    )  # fmt: skip
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{case.name}: the preview failed:\n" + done.stderr[-3000:])
    case.wall.append(wall)
    case.cpu.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    found = re.search(r"(\d+) resources", done.stderr.splitlines()[-1])
    case.resources = int(found.group(1)) if found else 0


def report(cases: list[Case]) -> None:
    print(f"medians of {len(cases[0].wall)} runs, in seconds; load average {os.getloadavg()[0]:.1f}")
    print(f"{'preview of':36}{'resources':>10}{'wall':>9}{'at most':>9}{'processors':>12}")
    for case in cases:
        goal = f"{case.goal:.0f}" if case.goal else ""
        print(f"{case.name:36}{case.resources:10}{case.seconds:9.2f}{goal:>9}{case.work:12.2f}")


def conclude(cases: list[Case]) -> None:
    """What a busy machine cannot hide; the last line is the ratio to the naive shape."""
    by_name = {case.name: case for case in cases}
    ours, without = by_name.get("1000 nodes in groups"), by_name.get("1000 nodes in groups, no policies")
    naive = by_name.get("1000 nodes, 4 resources each")
    if ours and without:
        wall, work = ours.seconds / without.seconds - 1, ours.work / without.work - 1
        print(
            f"policies add {wall:.0%} to a preview of 1000 nodes (at most 20%), {work:.0%} of processor time"
        )
    if without and naive:
        ratio = without.seconds / naive.seconds
        print(f"1000 nodes in groups take {ratio:.2f} of the time of the naive shape, both without policies")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="rows whose name has this text")
    options = parser.parse_args()
    with suppress(PermissionError):
        os.nice(-5)
    cases = [case for case in CASES if options.only in case.name]
    with tempfile.TemporaryDirectory(prefix="tailspan-bench-") as name:
        os.environ["PATH"] = os.pathsep.join([str(paths.bin_dir()), os.environ["PATH"]])
        for case in cases:
            prepare(case, Path(name))
            # The first run makes the state and encrypts the key; it is nobody's figure.
            run(case, Path(name))
            case.wall.clear()
            case.cpu.clear()
        for _ in range(options.rounds):
            for case in cases:
                run(case, Path(name))
    report(cases)
    conclude(cases)


if __name__ == "__main__":
    main()
