"""`make preview`: what a stack file would change, as a report for its reviewer; needs neither root nor an account."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from lab.engine import Session, offline_secrets, readable
from lab.engine_cli import Mode
from lab.engine_files import EngineError, Files
from lab.rehearsal import Base, base_file, find_base, rehearsed
from report.build import build_report
from report.events import read_events
from report.files import write
from report.model import Report
from report.sides import NOTHING, Side, side_of, side_of_text
from report.terminal import show

RUNNING = "what runs in the lab"
NEW = "nothing: no such stack runs here, and no BASE was given"


@dataclass(frozen=True)
class Options:
    """`base` is a stack file or a commit to compare with; `folder` takes the report as Markdown and JSON."""

    base: str | None = None
    folder: Path | None = None


def preview(stack: str, options: Options) -> int:
    """0 if the change can be made, whatever it changes; 1 if it is refused or a policy objects or cannot judge."""
    begun = time.monotonic()
    console = Console(stderr=True)
    waiting = console.status(f"previewing stack {stack}") if console.is_terminal else nullcontext()
    with waiting:
        report = against_base(stack, find_base(stack, options.base)) if options.base else against_state(stack)
    show(report, console)
    if options.folder:
        write(report, options.folder)
    console.print(f"{time.monotonic() - begun:.1f} s", highlight=False)
    return 0 if report.verdict.ok else 1


def against_state(stack: str) -> Report:
    """Against the lab if the stack is up in it, else against nothing."""
    files = Files.of_lab(stack)
    if readable(files) and files.is_up():
        return _run(files, "lab", running_side(files), RUNNING)
    return _run(Files.of_preview(stack), "offline", NOTHING, NEW)


def against_base(stack: str, base: Base, head: Path | None = None) -> Report:
    """Against a rehearsal of another stack file; `head` is the file to preview, if it is not the checkout's."""
    with rehearsed(stack, base) as (files, remark):
        return against_rehearsal(files, base, head, remark)


def against_rehearsal(files: Files, base: Base, head: Path | None = None, remark: str = "") -> Report:
    """Against a base that was rehearsed in these files. Nothing of it changes, so it serves many previews."""
    before = side_of_text(base.text, base.name)
    compared_with = f"{base.name} (rehearsed {remark})" if remark else base.name
    if base.text is None:
        compared_with = f"{base.name}, where this stack does not exist"
        return _run(files.of(head), "offline", before, compared_with)
    try:
        head = head or files.find()
    except EngineError:
        # The change deletes the stack's file.
        return _run(files.of(base_file(files)), "offline", before, compared_with, verb="preview_destroy")
    return _run(files.of(head), "offline", before, compared_with)


def _run(files: Files, mode: Mode, before: Side, compared_with: str, verb: str = "preview") -> Report:
    session = Session(files, mode, events=[], console=Console(quiet=True))
    file = files.find().read_text()
    if mode == "offline":
        session.secrets = offline_secrets(file)
    text = file if verb == "preview" else None
    session.run(verb, planning=True)
    return build_report(
        files.stack,
        before,
        side_of_text(text, f"Pulumi.{files.stack}.yaml"),
        read_events(session.events or []),
        compared_with=compared_with,
        failure=session.failure,
    )


def running_side(files: Files) -> Side:
    """What the last `up` was given, from the outputs in the state."""
    resources = files.latest().get("resources") or []
    outputs = next(
        (one.get("outputs") or {} for one in resources if one["type"] == "pulumi:pulumi:Stack"), {}
    )
    return side_of(outputs["stack"], "the running stack") if "stack" in outputs else NOTHING
