"""Removing the lab, whatever state it is in: things are found by name and mark, not only by the records."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from lab import addresses, net, processes, records
from lab.records import Records
from lab.shell import LabError, delete_tree, run
from tools import paths

_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_LXC_LOCKS = Path("/run/lxc/lock")
_KILL_WITHIN = 6.0
_MONITORS_WITHIN = 2.0


def down() -> None:
    with records.locked():
        if net.namespace_exists(addresses.INTERNET) and not net.owned(addresses.INTERNET):
            # Another lab's, so its machines and processes are as well: there is one per host.
            raise LabError(net.foreign(addresses.INTERNET))
        kept = records.read_or_empty()
        _end_processes()
        _delete_namespaces(kept)
        _unmount()
        _remove_cgroups()
        _delete_lxc_locks()
        if kept.inotify_instances_before is not None:
            set_inotify_instances(kept.inotify_instances_before)
        delete_tree(paths.lab_dir())


def inotify_instances() -> int:
    return int(_INOTIFY.read_text())


def set_inotify_instances(count: int) -> None:
    _INOTIFY.write_text(f"{count}\n")


def _end_processes() -> None:
    """The machines first, so that LXC's monitors see them end and clean up; then whatever else there is."""
    begun = time.monotonic()
    while (now := time.monotonic()) < begun + _KILL_WITHIN:
        if machines := processes.in_machines():
            processes.end(machines, within=1)
        elif now < begun + _MONITORS_WITHIN and processes.monitors():
            time.sleep(0.02)
        elif left := processes.everything():
            processes.end(left, within=1)
        else:
            return
    raise LabError(f"processes that survive SIGKILL: {processes.everything()}: reboot this host")


def _delete_namespaces(kept: Records) -> None:
    # Recorded before it was made, so ours even if a crash came before the mark.
    recorded = {addresses.namespace(name) for name in kept.networks}
    ours = [name for name in net.namespaces() if name in recorded or net.owned(name)]
    if addresses.INTERNET in ours:
        net.delete_link(addresses.OPERATOR_LINK)
    for name in ours:
        net.delete_namespace(name)


def _unmount() -> None:
    """Nothing should be mounted there; if something is, the deletion would empty it."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        point = line.split()[4]
        if point.startswith(f"{paths.lab_dir()}/"):
            run(["umount", "-l", point])


def _remove_cgroups() -> None:
    for top in processes.cgroup_folders():
        deadline = time.monotonic() + 2
        while not _removed(top) and time.monotonic() < deadline:
            # The kernel lets a dead process's folder go a moment later.
            time.sleep(0.02)


def _removed(top: Path) -> bool:
    for folder, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):
            os.rmdir(folder)
    return not top.exists()


def lxc_locks() -> Path:
    """LXC keeps a lock file per machine, under the machines' own path."""
    return _LXC_LOCKS / paths.lab_dir().relative_to("/")


def _delete_lxc_locks() -> None:
    folder = lxc_locks()
    delete_tree(folder)
    for parent in folder.parents:
        if parent == _LXC_LOCKS.parent:
            break
        with suppress(OSError):
            parent.rmdir()
