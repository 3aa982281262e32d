"""Runs a stack through the Pulumi engine: in the lab with real effects, or as an offline preview."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import yaml
from pulumi.automation import Stack
from pulumi.automation.errors import CommandError
from rich.console import Console

from config.places import SELLER_KEYS
from lab.engine_cli import Cli, Mode, keep_no_logs, open_stack, set_secret, stack_outputs
from lab.engine_clouds import refuse_real_clouds
from lab.engine_files import API_KEY, CA, EngineError, Files, write_private
from lab.engine_policies import own_pack, policy_options
from lab.engine_recovery import mend_state, only_launcher, remove_stale_locks, settle_pending
from lab.engine_sdk import quicken
from lab.engine_view import View
from tools import paths

Program = Callable[[], None]
OFFLINE_API_KEY = "offline-preview"


def offline_secrets(text: str) -> dict[str, str]:
    """What stands in for the secrets that a stack file's program asks for: a preview of a change reaches nobody."""
    stack = (yaml.safe_load(text) or {}).get("config", {}).get("tailspan:stack") or {}
    regions = stack.get("regions") if isinstance(stack, dict) else None
    kinds = {
        region["provider"].get("kind")
        for region in regions or []
        if isinstance(region, dict) and isinstance(region.get("provider"), dict)
    }
    sellers = [f"tailspan:{name}" for kind, name in SELLER_KEYS.items() if kind in kinds]
    return dict.fromkeys([API_KEY, *sellers], OFFLINE_API_KEY)


# Creates of machines mostly wait; the engine's default (4 per core) would make them wait in turn.
PARALLEL = 32


# What the program loads sooner or later, and what of it takes longest: loaded while the engine starts.
WARM_UP = ("stack", "pulumi_kubernetes.provider")
_warming: list[threading.Thread] = []


def stack_program() -> None:
    """The repository's program."""
    # The SDKs load their modules lazily, which two threads must not do at once.
    for thread in _warming:
        thread.join()
    importlib.import_module("stack").program()


@dataclass
class Session:
    """One stack and how its program, files and messages are found; tests bring their own."""

    files: Files
    mode: Mode
    program: Program = stack_program
    policy_packs: list[str] = field(default_factory=lambda: [str(own_pack())])
    secrets: dict[str, str] = field(default_factory=dict)
    plain: dict[str, str] = field(default_factory=dict)
    console: Console = field(default_factory=lambda: Console(stderr=True))
    # For a report: every event of the run if a list is given, and what the CLI said if it failed.
    events: list[dict[str, Any]] | None = None
    failure: str = ""

    def open(self) -> Stack:
        self.files.prepare()
        keep_no_logs()
        stack = open_stack(self.files, self.mode, self.program)
        self._write_config()
        return stack

    def _write_config(self) -> None:
        for key, value in self.plain.items():
            self.files.set_plain(key, value)
        for key, value in self.secrets.items():
            # Writing a secret starts the engine; a digest (keyed by the passphrase) tells whether it is
            # there already.
            salt = self.files.passphrase.read_bytes()
            digest = hashlib.scrypt(value.encode(), salt=salt, n=1024, r=8, p=1).hex()
            note = self.files.root / f"{self.files.stack}.{re.sub(r'[^A-Za-z]', '-', key)}.digest"
            if key in self.files.config() and note.exists() and note.read_text() == digest:
                continue
            set_secret(self.files, self.mode, key, value)
            write_private(note, digest)
            # A secret of the checkout's file, encrypted for others, takes the same stand-in value.
            self.files.prepare()

    def run(self, verb: str, *, planning: bool = False, **options: Any) -> bool:
        """Run one engine operation with progress; True if it went well. The report is printed."""
        view = View(self.console, planning=planning)
        policies = policy_options(self.policy_packs, self.files.stack)
        quicken(planning=planning)
        self._warm_up(verb)
        with self._alone(planning):
            if planning:
                stack = self.open()
            else:
                if removed := remove_stale_locks(self.files):
                    self.console.print(
                        f"Removed {removed} stale lock(s) of an interrupted run.", highlight=False
                    )
                mend_state(self.files)
                stack = self.open()
                settle_pending(self.files, stack, self.console)
            failure = self.failure = self._operate(stack, verb, view, policies, options)
        view.report()
        if failure and not view.findings.errors and not view.findings.mandatory:
            self.console.print(f"[bold red]error:[/] {failure}", highlight=False, soft_wrap=True)
        if not failure:
            self.console.print(f"{view.counts()} in {time.monotonic() - view.started:.1f} s", highlight=False)
        return not failure

    def _alone(self, planning: bool) -> AbstractContextManager[None]:
        if not planning:
            return only_launcher(self.files)
        # A preview writes no state: it may look while an update runs. Offline ones wait for each other.
        return nullcontext() if self.mode == "lab" else only_launcher(self.files, wait=True)

    def _warm_up(self, verb: str) -> None:
        if self.program is stack_program and verb in ("up", "preview"):
            _warming.append(threading.Thread(target=_load_quietly, daemon=True))
            _warming[-1].start()

    def _operate(
        self, stack: Stack, verb: str, view: View, policies: dict[str, Any], options: dict[str, Any]
    ) -> str:
        """What went wrong, empty if nothing did."""
        if verb in ("up", "preview"):
            options = {**policies, **options}
        if verb == "up":
            # A dead machine must not keep the others from joining; what depends on it is left for the next run.
            options = {"continue_on_error": True, **options}
        if verb != "refresh":
            options = {"parallel": PARALLEL, **options}
        # The plugins are told what runs: some of them can only preview.
        stack.workspace.env_vars = {**stack.workspace.env_vars, "TAILSPAN_VERB": verb}
        if isinstance(cli := stack.workspace.pulumi_command, Cli):
            cli.events = self.events
        try:
            with view, _engine_takes_interrupts():
                getattr(stack, verb)(on_event=view.on_event, color="never", **options)
        except CommandError as problem:
            return _last_words(problem)
        return ""


def _load_quietly() -> None:
    try:
        for name in WARM_UP:
            # A lazy module loads when it is first asked for something.
            vars(importlib.import_module(name))
    except Exception:
        return  # the program's own run will report it


def _last_words(problem: CommandError) -> str:
    """What the CLI said, if no event explains the failure."""
    text = re.search(r"stderr: (.*)", str(problem), re.DOTALL)
    lines = [line for line in (text.group(1) if text else str(problem)).splitlines() if line.strip()]
    return "\n".join(lines[-15:]) or str(problem)


@contextmanager
def _engine_takes_interrupts() -> Iterator[None]:
    """Ctrl-C reaches the engine too, which cancels and saves its state: wait for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def wait(number: int, frame: FrameType | None) -> None:
        print(
            "\nStopping: the engine finishes what it has begun. Once more to stop at once.", file=sys.stderr
        )
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


# -- the verbs


def up(stack: str) -> bool:
    """Bring the stack's lab to what the stack says; True if it converged."""
    refuse_real_clouds(Files.of_lab(stack))
    session = _lab_session(stack)
    console = session.console
    if not session.run("up"):
        return False
    found = outputs(stack)
    for name in sorted(found):
        console.print(f"  output {name}", highlight=False)
    if isinstance(found.get("kubeconfig"), str):
        kubeconfig = paths.lab_dir() / "kubeconfig"
        write_private(kubeconfig, found["kubeconfig"])
        console.print(f"\nexport KUBECONFIG={kubeconfig}", highlight=False, soft_wrap=True)
    return True


def destroy(stack: str) -> bool:
    return _lab_session(stack).run("destroy")


def refresh(stack: str) -> bool:
    return _lab_session(stack).run("refresh")


def outputs(stack: str) -> dict[str, Any]:
    """The stack's outputs, secrets included."""
    files = Files.of_lab(stack)
    if not readable(files) or not files.is_up():
        return {}
    return stack_outputs(files, "lab")


def readable(files: Files) -> bool:
    return os.access(files.state_file, os.R_OK)


def _lab_session(stack: str) -> Session:
    from lab import cloud, net

    if os.geteuid() != 0:
        raise EngineError(
            "the lab makes network namespaces and containers: run this as root (a preview needs no root)"
        )
    files = Files.of_lab(stack)
    if files.is_up() and not net.internet_is_up():
        print(
            "The lab of the last run is gone (was this machine restarted?): making it anew.", file=sys.stderr
        )
        cloud.down()
    base = cloud.ensure_base()
    ca_file = paths.lab_dir() / "tailnet-ca.pem"
    write_private(ca_file, base.headscale_ca_pem)
    # What the plugins find in their environment, as an operator would set it: the agent and the private CA.
    os.environ["SSH_AUTH_SOCK"] = str(base.ssh_agent_socket)
    os.environ["TAILSPAN_TAILNET_CA_FILE"] = str(ca_file)
    return Session(files, "lab", secrets={API_KEY: base.api_key}, plain={CA: base.headscale_ca_pem})


__all__ = ["EngineError", "Session", "destroy", "offline_secrets", "outputs", "refresh", "up"]
