"""The official command line's preview of a real stack, as the same report: `python -m report STACK`.

Needs what `pulumi preview` needs: access to the backend and to the stack's secrets. The stand-in plugins stay out.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from report.build import build_report
from report.events import read_events
from report.model import Report
from report.sides import NOTHING, Side, side_of, side_of_text

# The SDK's Automation API takes the events the same way (pulumi/automation/_stack.py).
PREVIEW = ("pulumi", "--non-interactive", "preview", "--suppress-outputs", "--color", "never")
OUTPUTS = ("pulumi", "--non-interactive", "stack", "output", "--json")


def live_report(stack: str, root: Path) -> Report:
    """What `pulumi up` would change on the stack as it runs, judged by the policy pack."""
    before, remark = running_side(stack, root)
    with tempfile.TemporaryDirectory(prefix="tailspan-preview-") as folder:
        log = Path(folder, "events.jsonl")
        done = _pulumi([*PREVIEW, *_policies(stack, root), "--stack", stack, "--event-log", str(log)], root)
        events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    file = root / f"Pulumi.{stack_name(stack)}.yaml"
    after = side_of_text(file.read_text() if file.exists() else None, file.name)
    return build_report(
        stack_name(stack),
        before,
        after,
        read_events(events),
        compared_with="the stack as it runs",
        failure=_last_words(done),
        notes=[remark] if remark else [],
    )


def running_side(stack: str, root: Path) -> tuple[Side, str]:
    """What the last `pulumi up` was given, from the stack's outputs; and why that is not known."""
    done = _pulumi([*OUTPUTS, "--stack", stack], root)
    if done.returncode != 0:
        return NOTHING, f"before: {_last_words(done)}"
    outputs: Mapping[str, Any] = json.loads(done.stdout or "{}")
    if "stack" in outputs:
        return side_of(outputs["stack"], "the running stack"), ""
    if outputs:
        return (
            NOTHING,
            "before: the running stack does not say what it was made from; the next `pulumi up` writes it",
        )
    return NOTHING, ""


def _policies(stack: str, root: Path) -> list[str]:
    """The pack, with the levels and settings of the stack if it has a file of them."""
    settings = root / "policy" / f"config.{stack_name(stack)}.json"
    return [
        "--policy-pack",
        "policy",
        *(["--policy-pack-config", str(settings)] if settings.exists() else []),
    ]


def stack_name(stack: str) -> str:
    """`prod` of `acme/tailspan/prod`: the name that the stack's file carries."""
    return stack.rsplit("/", 1)[-1]


def _pulumi(command: list[str], root: Path) -> subprocess.CompletedProcess[str]:
    # A plugin on PATH would shadow the official one, whatever its version.
    environment = {
        **os.environ,
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Hides the flag --event-log otherwise; the Automation API sets it, too.
        "PULUMI_DEBUG_COMMANDS": "true",
    }
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == 0:
        return ""
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return "\n".join(lines[-15:]) or f"pulumi ended with status {done.returncode} and said nothing"
