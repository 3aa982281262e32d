"""After an interrupted run: stale locks and half-done operations, so that the next run simply converges."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pulumi.automation import Deployment, Stack
from pulumi.automation.errors import CommandError
from rich.console import Console

from lab.engine_files import EngineError, Files

# An engine whose launcher was killed got SIGINT at that moment; it may still be writing its state.
PATIENCE_SECONDS = 20.0


@contextmanager
def only_launcher(files: Files, *, wait: bool = False) -> Iterator[None]:
    """One launcher per state at a time; the kernel frees this lock however the launcher ends."""
    files.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (files.root / "launcher.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as problem:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            raise EngineError(
                f"stack {files.stack}: another run is at work on it (process {owner}). Wait for it."
            ) from problem
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def remove_stale_locks(files: Files) -> int:
    """We are the only launcher, so whoever holds the engine's lock is dead or an orphan of a killed run."""
    removed = 0
    for lock in sorted(files.locks_dir.glob("*.json")):
        with suppress(FileNotFoundError, ValueError):
            _end_orphan(int(json.loads(lock.read_text()).get("pid", 0)))
        lock.unlink(missing_ok=True)
        removed += 1
    return removed


def mend_state(files: Files) -> None:
    """
    The file backend writes `*.attrs` beside each of its files, and not in one step: an empty one, left by a killed
    engine, makes the whole state unreadable ("failed to load checkpoint: EOF"). A missing one means nothing.
    """
    for sidecar in files.state_dir.rglob("*.attrs"):
        try:
            json.loads(sidecar.read_text())
        except ValueError:
            sidecar.unlink(missing_ok=True)


def _end_orphan(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _is_engine(pid):
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.1)


def _is_engine(pid: int) -> bool:
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return name == "pulumi" and state != "Z"


def settle_pending(files: Files, stack: Stack, console: Console) -> None:
    """Forget operations that were cut off.

    Every handler's create is idempotent, so that simply doing it again is right. Only a half-made machine
    is removed first: nobody knows how much of it exists, and if the stack no longer wants it nobody else
    would remove it.
    """
    latest = files.latest()
    pending = latest.get("pending_operations") or []
    if not pending:
        return
    for operation in pending:
        resource = operation["resource"]
        name = resource["urn"].rsplit("::", 1)[-1]
        console.print(
            f"An earlier run was cut off while {operation['type']} {name}: doing it again.", highlight=False
        )
        recorded: dict[str, Any] = next(
            (kept for kept in latest.get("resources") or [] if kept["urn"] == resource["urn"]), {}
        )
        if half_made := half_made_machines(operation, recorded):
            from lab import cloud

            for machine in half_made:
                cloud.delete_machine(machine)
    try:
        exported = stack.export_stack()
        deployment = dict(exported.deployment or {})
        deployment.pop("pending_operations", None)
        stack.import_stack(Deployment(version=exported.version, deployment=deployment))
    except CommandError as problem:
        raise EngineError(
            f"stack {files.stack}: its state cannot be read ({problem}). `make down` removes it with the lab."
        ) from None


def half_made_machines(operation: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """The machines that an operation was making; those of a group that the state knows already are whole."""
    resource, doing = operation["resource"], operation["type"]
    inputs, known = resource.get("inputs") or {}, recorded.get("inputs") or {}
    if resource["type"] == "lab:index:Machine" and doing == "creating":
        return [inputs["name"]]
    if resource["type"] == "lab:index:MachineGroup" and doing in ("creating", "updating"):
        return [name for name in inputs["machines"] if name not in (known.get("machines") or {})]
    return []
