"""One preview as `make preview` makes it, of the stack file in a folder; `make bench-preview` runs it.

usage: python -m tests.engine.preview_once FOLDER stack|naive|empty [--no-policies]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import engine

# The command line's own imports, which `make preview` pays for too.
from lab.cli import end
from lab.engine_files import API_KEY, Files

NAIVE_NODES = "TAILSPAN_BENCH_NAIVE_NODES"
REPOSITORY = engine.stack_program


def naive_program() -> None:
    """What one writes first: the dev stack, and for each node a component, a machine, its script and its admission."""
    import pulumi
    import pulumi_command
    from pulumi_command import local, remote

    from providers.lab_types import LabProvider, Machine

    REPOSITORY()
    providers = [LabProvider("naive"), pulumi_command.Provider("naive-commands")]
    for number in range(int(os.environ[NAIVE_NODES])):
        name = f"naive-{number}"
        options = pulumi.ResourceOptions(providers=providers)
        node = pulumi.ComponentResource("bench:index:Node", name, None, options)
        child = pulumi.ResourceOptions(parent=node)
        machine = Machine(
            name, name=name, network="hub", role="worker", node_ip=f"10.0.1.{number}", opts=child
        )
        login = remote.ConnectionArgs(host=machine.ssh_host, host_key=machine.host_key, user="root")
        script = remote.Command(f"{name}-script", connection=login, create="true", opts=child)
        after = pulumi.ResourceOptions(parent=node, depends_on=[script])
        local.Command(f"{name}-join", create="true", opts=after)


def empty_program() -> None:
    """Nothing: what is left is the launcher and the engine."""


PROGRAMS: dict[str, Callable[[], None]] = {
    "stack": REPOSITORY, "naive": naive_program, "empty": empty_program,
}  # fmt: skip


def preview(folder: Path, program: str, *, policies: bool) -> bool:
    if program == "naive":
        # In the place of the repository's program: what it imports is then loaded just as early.
        engine.stack_program = naive_program
    options: dict[str, Any] = {} if policies else {"policy_packs": []}
    session = engine.Session(
        Files("dev", folder / "copy", folder / "source"),
        "offline",
        program=PROGRAMS[program],
        secrets={API_KEY: engine.OFFLINE_API_KEY},
        **options,
    )
    return session.run("preview", planning=True)


if __name__ == "__main__":
    end(0 if preview(Path(sys.argv[1]), sys.argv[2], policies="--no-policies" not in sys.argv) else 1)
