"""What the lab's tests stand on: the launcher as a child process, the stack file to edit, kubectl, machines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

from bootstrap.gateway import SOCKET
from lab import cloud, headscale, processes
from lab.engine_files import Files
from lab.shell import inside, run
from tools import paths

Json = dict[str, Any]
T = TypeVar("T")
STACK = "dev"
MACHINES = ("hub-cp-1", "hub-gw-1", "hub-gw-2", "gpu-a", "gpu-b", "gpu-c")
# What `make up` measured and the like; printed at the end of the run.
FIGURES: list[str] = []


@dataclass(frozen=True)
class Ran:
    """A finished program: both its streams in one text."""

    code: int
    text: str
    seconds: float

    @property
    def tail(self) -> str:
        return "\n".join(self.text.splitlines()[-40:])


def launch(arguments: Sequence[str | Path], log: Path) -> subprocess.Popen[bytes]:
    """A command of the repository in a session of its own, as from another terminal."""
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)], cwd=paths.repo_root(), stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


@contextmanager
def running(arguments: Sequence[str | Path], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The same, and it does not outlive the test, however that ends."""
    process = launch(arguments, log)
    try:
        yield process
    finally:
        if process.poll() is None:
            kill_tree(process)


def command(arguments: Sequence[str | Path], log: Path, timeout: float) -> Ran:
    begun = time.monotonic()
    with running(arguments, log) as process:
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{arguments} did not end within {timeout:.0f} s:\n{tail(log)}") from None
    return Ran(process.returncode, log.read_text(errors="replace"), time.monotonic() - begun)


def tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-40:])


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a launcher, its engine and every plugin at one moment: a power cut for the operator."""
    family = sorted(descendants(process.pid))
    # Stopped first, so that nobody hears of another's death.
    for signal in ("STOP", "KILL"):
        run(["kill", f"-{signal}", str(process.pid), *map(str, family)], check=False)
    process.wait(10)


def descendants(pid: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found, waiting = set(), [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found |= set(below)
        waiting += below
    return found


def until(what: str, look: Callable[[], T], within: float, every: float = 0.3) -> T:
    """Waits until `look` answers something; says what it answered last if it never does."""
    deadline = time.monotonic() + within
    while True:
        found, trouble = None, ""
        try:
            found = look()
        except (AssertionError, RuntimeError) as problem:
            trouble = str(problem)[-1500:]
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {within:.0f} s; last: {trouble or found}"
        time.sleep(every)


# -- the cluster


@cache
def _kubectl() -> str:
    return str(paths.bin_dir() / "kubectl")


def kubectl(*words: str, stdin: str | None = None, timeout: float = 30, check: bool = True) -> str:
    argv: list[str | Path] = [
        _kubectl(),
        "--kubeconfig",
        paths.lab_dir() / "kubeconfig",
        "--request-timeout=20s",
        *words,
    ]
    return run(argv, stdin=stdin, timeout=timeout, check=check).stdout


def get(*words: str) -> Any:
    return json.loads(kubectl("get", *words, "-o", "json"))


def nodes() -> dict[str, Json]:
    return {node["metadata"]["name"]: node for node in get("nodes")["items"]}


def ready(node: Json) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions") or ())


def all_ready(names: Sequence[str] = MACHINES) -> bool:
    found = nodes()
    waiting = [name for name in names if name not in found or not ready(found[name])]
    assert not waiting, f"not Ready: {', '.join(waiting)}"
    return True


# -- the machines


def console(machine: str, script: str, *, timeout: float = 60, check: bool = True) -> str:
    """A root shell on a machine, without SSH or network."""
    return cloud.run_in(machine, ["bash", "-ec", script], timeout=timeout, check=check).stdout


def calls_api(machine: str) -> bool:
    """Whether the machine reaches the API server at its node address, whatever that says."""
    fetch = "curl -sk -m2 -o/dev/null https://10.0.0.10:6443/livez && echo reached"
    return "reached" in console(machine, fetch, check=False)


def untouched(machine: str) -> str:
    """The same text as long as nobody boots the machine, runs a node script on it or restarts its kubelet."""
    return console(
        machine,
        "cat /proc/sys/kernel/random/boot_id; stat -c %y /run/tailspan.lock 2>/dev/null || echo none since its boot;"
        "systemctl show -p MainPID -p ActiveEnterTimestamp kubelet containerd tailspan-network",
    )


# -- the tailnet


def tailnet_devices() -> dict[str, Json]:
    """headscale's nodes by host name, with their advertised (available) and approved routes."""
    binary, file = shutil.which("headscale", path=str(paths.bin_dir())) or "headscale", headscale.folder()
    argv: list[str | Path] = [
        *inside("tsl-inet"),
        binary,
        "--config",
        file / "config.yaml",
        "--output",
        "json",
    ]
    found = json.loads(run([*argv, "nodes", "list"]).stdout or "null") or []
    return {device["name"]: device for device in found}


def tailscale(machine: str, words: str) -> str:
    """The CLI in the container of a gateway, as somebody with root on its machine runs it."""
    enter = f'nsenter -t "$(pgrep -ox tailscaled)" -m -- /usr/local/bin/tailscale --socket={SOCKET}'
    return console(machine, f"{enter} {words}")


# -- the stack


@dataclass
class Stand:
    """The running dev stack, and a copy of its files to edit."""

    source: Path
    logs: Path
    # Not shown when a test fails: a leak would be in them.
    first_up: Ran | None = field(default=None, repr=False)
    seen_arguments: set[str] = field(default_factory=set, repr=False)

    @property
    def files(self) -> Files:
        return Files(STACK, paths.lab_dir() / "pulumi", self.source)

    @property
    def stack_file(self) -> Path:
        return self.source / f"Pulumi.{STACK}.yaml"

    @contextmanager
    def edited(self, edit: Callable[[Json], object]) -> Iterator[None]:
        """The stack file with an edit of its `tailspan:stack`; as it was, afterwards."""
        before = self.stack_file.read_text()
        content = yaml.safe_load(before)
        edit(content["config"]["tailspan:stack"])
        self.stack_file.write_text(yaml.safe_dump(content, sort_keys=False))
        try:
            yield
        finally:
            self.stack_file.write_text(before)

    def run(self, verb: str, *, timeout: float) -> Ran:
        log = self.logs / f"{verb}-{len(list(self.logs.iterdir()))}.log"
        return command(["-m", "tests.lab.drive", self.source, verb, STACK], log, timeout)

    def up(self, *, timeout: float = 240) -> Ran:
        done = self.run("up", timeout=timeout)
        assert done.code == 0, f"up failed:\n{done.tail}"
        return done

    def refused(self, verb: str, *, timeout: float = 60) -> str:
        done = self.run(verb, timeout=timeout)
        assert done.code == 1, f"{verb} should have failed:\n{done.tail}"
        return " ".join(done.text.split())

    def resources(self) -> dict[str, Json]:
        """What the engine recorded, by URN."""
        return {resource["urn"]: resource for resource in self.files.latest()["resources"]}

    def changes(self) -> dict[str, int]:
        """What the last update did, by kind, as the engine wrote it into its history."""
        history = self.files.state_dir / ".pulumi" / "history" / self.files.project / STACK
        last = max(history.glob("*.history.json"), key=lambda file: file.name)
        found: Json = json.loads(last.read_text())["resourceChanges"]
        return {op: count for op, count in found.items() if op not in ("same", "read") and count}


@dataclass
class DoomedUp:
    """An `up` in the background that is bound to fail, mostly by waiting."""

    process: subprocess.Popen[bytes]
    log: Path
    begun: float = field(default_factory=time.time)

    def result(self, within: float) -> tuple[str, float]:
        code = self.process.wait(within)
        text = self.log.read_text(errors="replace")
        assert code == 1, f"it should have failed:\n{text[-3000:]}"
        # The log's last line was written when it ended, however much later anybody asks.
        return text, self.log.stat().st_mtime - self.begun


@contextmanager
def arguments_of_everybody(seen: set[str]) -> Iterator[None]:
    """Collects the command line of every process of this host while it lasts, the machines' included."""
    import threading

    done = threading.Event()

    def watch() -> None:
        looked: dict[str, int] = {}
        while not done.wait(0.03):
            running = {name for name in os.listdir("/proc") if name.isdigit()}
            # A process has its parent's command line until it executes its own.
            for name in running:
                if looked.get(name, 0) < 4:
                    looked[name] = looked.get(name, 0) + 1
                    seen.add(processes._command_line(int(name)))
            looked = {name: times for name, times in looked.items() if name in running}

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(5)
