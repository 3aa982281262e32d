"""What of the lab can be seen on this host, and whether a run changed anything that was there before."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab import addresses, net, processes, teardown
from lab.shell import NAMESPACES, run
from tools import paths

Snapshot = Mapping[str, frozenset[str]]


def snapshot() -> dict[str, frozenset[str]]:
    """Everything that a lab could leave behind, by kind; two of them can be compared."""
    return {
        "namespaces": frozenset(path.name for path in NAMESPACES.glob("*")),
        "links": frozenset(path.name for path in Path("/sys/class/net").iterdir()),
        "addresses": frozenset(_addresses()),
        "rules": frozenset(run(["ip", "rule"]).stdout.splitlines()),
        "routes": frozenset(
            line.strip() for line in run(["ip", "route", "show", "table", "all"]).stdout.splitlines()
        ),
        "nft tables": frozenset(run(["nft", "list", "tables"]).stdout.splitlines()),
        "mounts": _mounts(),
        "cgroups": frozenset(_cgroups()),
        "processes": frozenset(f"{pid} {line}" for pid, line in processes.everything().items()),
        "settings": frozenset({f"fs.inotify.max_user_instances = {teardown.inotify_instances()}"}),
        "files": frozenset(_lab_files()),
        "/etc": frozenset(_checksums(Path("/etc"))),
    }


def diff(before: Snapshot, after: Snapshot) -> dict[str, tuple[str, ...]]:
    """What came (+) and went (-) between two snapshots; empty when nothing did."""
    changes = {}
    for kind in before.keys() | after.keys():
        old, new = before.get(kind, frozenset()), after.get(kind, frozenset())
        if old != new:
            changes[kind] = tuple(
                sorted([f"+ {item}" for item in new - old] + [f"- {item}" for item in old - new])
            )
    return changes


def of_the_lab() -> dict[str, tuple[str, ...]]:
    """What belongs to this lab by its name or its mark: empty when it is down."""
    found = {
        "namespaces": [name for name in net.namespaces() if net.owned(name)],
        "links": [addresses.OPERATOR_LINK] if net.link_exists(addresses.OPERATOR_LINK) else [],
        "processes": [f"{pid} {line}" for pid, line in processes.everything().items()],
        "cgroups": [str(folder) for folder in processes.cgroup_folders()],
        "mounts": [point for point in sorted(_mounts()) if point.startswith(f"{paths.lab_dir()}/")],
        "files": list(_lab_files()),
    }
    return {kind: tuple(items) for kind, items in found.items() if items}


def _mounts() -> frozenset[str]:
    return frozenset(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())


def _addresses() -> Iterator[str]:
    for link in json.loads(run(["ip", "-j", "addr"]).stdout):
        for address in link["addr_info"]:
            yield f"{link['ifname']} {address['local']}/{address['prefixlen']}"


def _cgroups() -> Iterator[str]:
    # Only what LXC or the lab makes: other programs of the host come and go with theirs.
    for folder, below, _ in os.walk("/sys/fs/cgroup"):
        yield from (f"{folder}/{name}" for name in below if name.startswith((addresses.CGROUP, "lxc")))


def _lab_files() -> Iterator[str]:
    for path in (paths.lab_dir(), teardown.lxc_locks()):
        if path.exists():
            yield str(path)


def _checksums(top: Path) -> Iterator[str]:
    for file in top.rglob("*"):
        if file.is_symlink():
            yield f"{file} -> {file.readlink()}"
        elif file.is_file():
            yield f"{file} {hashlib.sha256(file.read_bytes()).hexdigest()}"
