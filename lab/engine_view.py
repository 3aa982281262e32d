"""What the engine is doing, for people: live on a terminal, lines elsewhere; and what a preview found."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from pulumi.automation import EngineEvent
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from lab.engine_diff import change_lines
from report.events import ECHOES, EXPECTED_NOISE, REPEATS, short_name

DOING = {
    "create": "creating",
    "update": "updating",
    "delete": "deleting",
    "replace": "replacing",
    "read": "reading",
    "refresh": "refreshing",
    "create-replacement": "replacing",
    "delete-replaced": "deleting the old",
    "discard": "dropping",
}
DONE = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "replace": "replaced",
    "refresh": "refreshed",
    "create-replacement": "replaced",
    "delete-replaced": "deleted the old",
    "read": "read",
    "discard": "dropped",
}
MARK = {
    "create": "[green]+[/]",
    "update": "[yellow]~[/]",
    "delete": "[red]-[/]",
    "replace": "[magenta]±[/]",
    "create-replacement": "[magenta]±[/]",
    "delete-replaced": "[red]-[/]",
    "refresh": "[cyan]·[/]",
    "read": "[cyan]·[/]",
    "discard": "[red]-[/]",
}
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
SUMMARY_ORDER = ("create", "update", "replace", "delete", "same")


@dataclass
class Step:
    op: str
    what: str
    since: float
    status: str = ""


@dataclass
class Findings:
    """What the events amount to."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    violations: list[tuple[str, str, str, str]] = field(
        default_factory=list
    )  # level, policy, resource, message
    changes: dict[str, int] = field(default_factory=dict)

    @property
    def mandatory(self) -> bool:
        return any(level == "mandatory" for level, *_ in self.violations)


class View:
    """Feed it engine events; use it as a context manager while the engine runs."""

    def __init__(self, console: Console, *, planning: bool) -> None:
        self.console, self.planning = console, planning
        self.started = time.monotonic()
        self.findings = Findings()
        self._running: dict[str, Step] = {}
        self._lock = threading.Lock()
        self._live = Live(get_renderable=self._render, console=console, transient=True, refresh_per_second=8)

    def __enter__(self) -> View:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def on_event(self, event: EngineEvent) -> None:
        with self._lock:
            if event.resource_pre_event:
                self._begin(event.resource_pre_event.metadata)
            elif event.res_outputs_event and not self.planning:
                self._end(event.res_outputs_event.metadata)
            elif event.res_op_failed_event:
                self._fail(event.res_op_failed_event.metadata)
            elif event.diagnostic_event:
                self._diagnose(event.diagnostic_event)
            elif event.policy_event:
                self._policy(event.policy_event)

    def _begin(self, metadata: Any) -> None:
        op = str(getattr(metadata.op, "value", metadata.op))
        if self.planning:
            self._count(op, metadata.urn)
        if op not in DOING:
            return
        if self.planning:
            self._print_planned(op, metadata)
        elif not _is_bookkeeping(metadata.urn) and op not in ("replace",):
            self._running[metadata.urn] = Step(op, short_name(metadata.urn), time.monotonic())

    def _print_planned(self, op: str, metadata: Any) -> None:
        if op in ("create-replacement", "delete-replaced", "read") or _is_bookkeeping(metadata.urn):
            return
        self._say(f"{MARK[op]} {op:8}{escape(short_name(metadata.urn))}")
        for line in change_lines(metadata):
            self._say(f"           {line}")

    def _count(self, op: str, urn: str) -> None:
        """A replacement is three steps to the engine and one change to its reader."""
        if op in ("create-replacement", "delete-replaced") or _is_bookkeeping(urn):
            return
        self.findings.changes[op] = self.findings.changes.get(op, 0) + 1

    def _end(self, metadata: Any) -> None:
        self._count(str(getattr(metadata.op, "value", metadata.op)), metadata.urn)
        step = self._running.pop(metadata.urn, None)
        if step is not None and step.op != "refresh":
            took = time.monotonic() - step.since
            self._say(
                f"{self._clock()} {MARK[step.op]} {DONE[step.op]} {escape(step.what)} [dim]({took:.1f} s)[/]"
            )

    def _fail(self, metadata: Any) -> None:
        step = self._running.pop(metadata.urn, None)
        if step is not None:
            self._say(f"{self._clock()} [bold red]✗ {DOING[step.op]} {escape(step.what)} failed[/]")

    def _diagnose(self, event: Any) -> None:
        message = (event.message or "").strip()
        if not message or message in ECHOES or any(noise in message for noise in EXPECTED_NOISE):
            return
        name = short_name(event.urn) if event.urn else ""
        if event.severity == "error" and not message.startswith(REPEATS):
            self._add(self.findings.errors, f"{name}: {message}" if name else message)
        elif event.severity == "warning":
            self._add(self.findings.warnings, f"{name}: {message}" if name else message)
        elif event.severity.startswith("info"):
            self._inform(event.urn, name, message)

    def _inform(self, urn: str | None, name: str, message: str) -> None:
        step = self._running.get(urn or "")
        # A wait repeats its status; a log wants it once.
        news = step is None or step.status != message.splitlines()[-1]
        if step is not None:
            step.status = message.splitlines()[-1]
        if news and not self.console.is_terminal:
            self._say(f"{self._clock()}   [dim]{escape(f'{name}: {message}' if name else message)}[/]")

    def _policy(self, event: Any) -> None:
        resource = short_name(event.resource_urn) if event.resource_urn else "the stack"
        entry = (
            str(event.enforcement_level).lower(),
            event.policy_name,
            resource,
            (event.message or "").strip(),
        )
        if entry not in self.findings.violations:
            self.findings.violations.append(entry)

    def _add(self, found: list[str], message: str) -> None:
        if message not in found:
            found.append(message)

    def _clock(self) -> str:
        return f"[dim]{time.monotonic() - self.started:6.1f} s[/]"

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True)

    def _render(self) -> Group:
        now = time.monotonic()
        # Without our lock: this runs under the display's, which printing under ours waits for.
        steps = sorted(list(self._running.values()), key=lambda step: step.since)
        frame = FRAMES[int(now * 8) % len(FRAMES)]
        rows = [
            Text.assemble(
                (f"{frame} ", "cyan"),
                f"{DOING[step.op]} {step.what} ",
                (f"{now - step.since:.0f} s ", "dim"),
                (step.status, "dim italic"),
                overflow="ellipsis",
                no_wrap=True,
            )
            for step in steps[: max(self.console.height - 4, 5)]
        ]
        return Group(*rows)

    # -- after the engine has ended

    def report(self) -> None:
        for warning in self.findings.warnings:
            self._say(f"[yellow]warning:[/] {escape(warning)}")
        for level, policy, resource, message in self.findings.violations:
            color = "bold red" if level == "mandatory" else "yellow"
            self._say(f"[{color}]policy {escape(policy)} ({level})[/] on {escape(resource)}:")
            for line in message.splitlines():
                self._say(f"    {escape(line)}")
        for error in self.findings.errors:
            self._say(f"[bold red]error:[/] {escape(error)}")

    def counts(self) -> str:
        found = self.findings.changes
        if not set(found) - {"same", "read", "refresh"}:
            return f"no changes ({sum(found.values())} resources)"
        words = {op: f"to {op}" if self.planning else DONE.get(op, op) for op in found} | {
            "same": "unchanged"
        }
        return ", ".join(f"{found[op]} {words[op]}" for op in SUMMARY_ORDER if op in found)


def _is_bookkeeping(urn: str) -> bool:
    """Stacks and providers are the engine's own business."""
    kind = urn.split("::")[2].rsplit("$", 1)[-1] if urn.count("::") >= 3 else ""
    return kind.startswith("pulumi:")
