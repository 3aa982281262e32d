"""One preview as `make preview` makes it, of the stack file in a folder; `make bench-preview` runs it.

usage: python -m tests.engine.preview_once FOLDER stack|naive|empty [--no-policies]
"""

from __future__ import annotations

import os
import sys
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


def preview(folder: Path, program: str, *, policies: bool) -> int:
    """What `python -m lab preview` does, with other files and, if told, another program; its exit status."""
    files = Files("dev", folder / "copy", folder / "source")
    options: dict[str, Any] = {} if policies else {"policy_packs": []}
    if program == "empty":
        secrets = {API_KEY: engine.OFFLINE_API_KEY}
        done = engine.Session(files, "offline", program=lambda: None, secrets=secrets, **options)
        return 0 if done.run("preview", planning=True) else 1
    from lab import preview as launcher

    if program == "naive":
        # In the place of the repository's program: what it imports is then loaded just as early.
        engine.stack_program = naive_program
    sessions: list[engine.Session] = []

    def session(*arguments: Any, **named: Any) -> engine.Session:
        named |= {"program": engine.stack_program, **options}
        sessions.append(engine.Session(*arguments, **named))
        return sessions[-1]

    for owner, name, instead in (
        (Files, "of_lab", staticmethod(lambda _: files)),
        (Files, "of_preview", staticmethod(lambda _: files)),
        (launcher, "Session", session),
    ):
        setattr(owner, name, instead)
    status = launcher.preview("dev", launcher.Options())
    planned = [event for event in sessions[0].events or [] if "resourcePreEvent" in event]
    print(f"{len(planned)} resources", file=sys.stderr)
    return status


if __name__ == "__main__":
    end(preview(Path(sys.argv[1]), sys.argv[2], policies="--no-policies" not in sys.argv))
