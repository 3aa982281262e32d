"""Verbs of the network-only lab; each runs in a world of its own and leaves nothing behind."""

from __future__ import annotations

import atexit
import dataclasses
import json
import runpy
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lab.rig import world

if TYPE_CHECKING:
    from lab.rig.rig import Rig

app = typer.Typer(
    help="Real gateways and a real tailnet in namespaces, without Kubernetes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Lan = Annotated[str, typer.Option(help="l2: a shared switch; routed: every machine is a /32.")]


def main() -> None:
    try:
        if not world.inside():
            sys.exit(world.run_inside(sys.argv[1:]))
        world.furnish()
        app()
    except RuntimeError as problem:
        Console(stderr=True).print(f"[bold red]error:[/] {problem}", highlight=False, soft_wrap=True)
        sys.exit(1)


@app.callback()
def _verbs(
    keep: Annotated[Path | None, typer.Option(help="Where to put the logs in the end.")] = None,
) -> None:
    if keep:
        atexit.register(world.keep_logs, keep)


@app.command()
def up(lan: Lan = "l2", gateways: int = 2, nodes: int = 1) -> None:
    """Bring the rig up and take it down again: how long it takes, and whether it works here."""
    begun = time.monotonic()
    rig = _rig(lan, gateways, nodes)
    print(f"{len(rig.machines)} machines, {len(rig.gateways())} gateways: {time.monotonic() - begun:.1f} s")


@app.command()
def pairs(lan: Lan = "l2", without_notrack: bool = False) -> None:
    """Which pairs of gateways, out and back, carry TCP, UDP and ICMP; prints JSON."""
    from lab.rig import pairs

    rig = _rig(lan, gateways=2, nodes=1)
    if without_notrack:
        pairs.forget_notrack(rig)
    print(json.dumps([dataclasses.asdict(pair) for pair in pairs.check(rig)]))


@app.command()
def experiment(script: Path) -> None:
    """Run a Python file in a world of the rig's own; what it makes there ends with it."""
    runpy.run_path(str(script))


def _rig(lan: str, gateways: int, nodes: int) -> Rig:
    from lab.rig.plan import Shape
    from lab.rig.rig import Rig

    rig = Rig(Shape(lan="routed" if lan == "routed" else "l2", gateways=gateways, nodes=nodes))
    rig.up()
    return rig
