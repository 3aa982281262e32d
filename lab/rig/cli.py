"""Verbs of the network-only lab; what touches networks runs in a world of its own and leaves nothing behind."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec

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
P = ParamSpec("P")
Lan = Annotated[str, typer.Option(help="l2: a shared switch; routed: every machine is a /32.")]
Names = Annotated[str, typer.Option(help="Events by name, with commas; all of them if empty.")]


def main() -> None:
    try:
        app()
    except RuntimeError as problem:
        Console(stderr=True).print(f"[bold red]error:[/] {problem}", highlight=False, soft_wrap=True)
        sys.exit(1)


def _in_world(verb: Callable[P, None]) -> Callable[P, None]:
    """The verb runs once more as the first process of a world, and here only its exit code is passed on."""

    @functools.wraps(verb)
    def outside_or_inside(*args: P.args, **kwargs: P.kwargs) -> None:
        if not world.inside():
            raise typer.Exit(world.run_inside(sys.argv[1:]))
        world.furnish()
        verb(*args, **kwargs)

    return outside_or_inside


@app.callback()
def _verbs(
    keep: Annotated[Path | None, typer.Option(help="Where to put the logs in the end.")] = None,
) -> None:
    if keep and world.inside():
        atexit.register(world.keep_logs, keep)


@app.command()
@_in_world
def up(lan: Lan = "l2", gateways: int = 2, nodes: int = 2) -> None:
    """Bring the rig up and take it down again: how long it takes, and whether it works here."""
    begun = time.monotonic()
    rig = _rig(lan, gateways, nodes)
    print(f"{len(rig.machines)} machines, {len(rig.gateways())} gateways: {time.monotonic() - begun:.1f} s")


@app.command()
@_in_world
def pairs(lan: Lan = "l2", without_notrack: bool = False) -> None:
    """Which pairs of gateways, out and back, carry TCP, UDP and ICMP; prints JSON."""
    from lab.rig import pairs

    rig = _rig(lan, gateways=2, nodes=1)
    if without_notrack:
        pairs.forget_notrack(rig)
    print(json.dumps([dataclasses.asdict(pair) for pair in pairs.check(rig)]))


@app.command()
@_in_world
def experiment(script: Path) -> None:
    """Run a Python file in a world of the rig's own; what it makes there ends with it."""
    runpy.run_path(str(script))


@app.command()
@_in_world
def measure(
    setup: Annotated[str, typer.Argument(help="agent, probed or article.")],
    out: Annotated[Path, typer.Argument(help="Results are appended here, a line of JSON each.")],
    lan: Lan = "l2",
    gateways: Annotated[int, typer.Option(min=2, max=4, help="Of each region.")] = 2,
    runs: int = 1,
    first: Annotated[int, typer.Option(help="The number of the first run.")] = 0,
    events: Names = "",
    patience: Annotated[float, typer.Option(help="Seconds after which a gap counts as endless.")] = 10,
) -> None:
    """Every event in one setup, so many times."""
    from lab.rig import measure

    numbers = range(first, first + runs)
    measure.measure(setup, out, lan=lan, gateways=gateways, runs=numbers, events=events, patience=patience)


@app.command()
def cluster(
    out: Annotated[Path, typer.Argument(help="Results are appended here, a line of JSON each.")],
    runs: int = 1,
    events: Names = "",
) -> None:
    """The dev stack's whole cluster through some events; `make up` first, or it is brought up for that."""
    from lab.rig import measure

    measure.on_cluster(out, runs, events)


@app.command()
def cut_off(seconds: float = 600) -> None:
    """The dev stack's GPU region cut off for so long; prints JSON, exits 1 if something in it did not go on."""
    from lab.rig import cutoff

    told = cutoff.measure(seconds, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(told))
    raise typer.Exit(0 if told["holds"] else 1)


@app.command()
@_in_world
def soak(seconds: float = 600, setup: str = "agent") -> None:
    """A bad path without a flap, and a region cut off for so long; prints JSON, exits 1 if it does not hold."""
    from lab.rig import measure
    from lab.rig import soak as soaking

    told = soaking.soak(
        measure.setup_named(setup), seconds, lambda line: print(line, file=sys.stderr, flush=True)
    )
    print(json.dumps(told))
    raise typer.Exit(0 if told["holds"] else 1)


@app.command()
@_in_world
def throughput() -> None:
    """Gigabits a second and processor time per gigabyte: through gateways, beside what that is compared with."""
    from lab.rig import throughput

    for speed in throughput.measure(_rig("l2", gateways=2, nodes=1)):
        print(
            f"{speed.path}: {speed.gigabits:.2f} Gbit/s, {speed.cpu_per_gb:.2f} s of processor per GB",
            flush=True,
        )


@app.command()
@_in_world
def shares(flows: int = 64) -> None:
    """What share of the bytes of so many flows each gateway carries, out of its region and into it."""
    from lab.rig import shares

    for share in shares.measure(_with_agents(), flows):
        print(
            f"{share.gateway}: {share.out:.0%} of what leaves the region, {share.into:.0%} of what comes in"
        )


@app.command()
@_in_world
def agents(seconds: Annotated[float, typer.Option(min=1, help="Measured over so long.")] = 20) -> None:
    """What each agent needs of a processor and of memory while nothing is wrong."""
    from lab.rig import agents

    for need in agents.measure(_with_agents(), seconds):
        print(f"{need.machine}, {need.role}: {need.core:.1%} of a core, {need.resident / 2**20:.0f} MiB")


@app.command()
def bench(
    runs: Annotated[int, typer.Option(min=1, help="Runs of each event with the agent.")] = 20,
    baseline_runs: Annotated[int, typer.Option(help="Runs of each event in each setup without it.")] = 5,
    cluster_runs: Annotated[int, typer.Option(help="Runs of each event on the whole cluster.")] = 3,
    events: Names = "",
    setups: Annotated[
        str, typer.Option(help="agent, cluster, probed, article.")
    ] = "agent,cluster,probed,article",
    folder: Annotated[Path, typer.Option(help="Results and logs.")] = Path("build/failover"),
    write: Annotated[Path | None, typer.Option(help="A Markdown file whose table is replaced.")] = None,
    side_by_side: Annotated[
        int, typer.Option(min=1, help="Worlds at the same time; each keeps most of one processor busy.")
    ] = min(4, os.cpu_count() or 1),
) -> None:
    """The table of failures: ours beside both setups without an agent. Exits 1 if a promise is broken."""
    from lab.rig import measure

    raise typer.Exit(
        measure.bench(
            runs, baseline_runs, cluster_runs, events, setups.split(","), folder, write, side_by_side
        )
    )


@app.command()
def table(
    files: Annotated[list[Path], typer.Argument(help="Results of `bench` or `measure`.")],
    write: Annotated[Path | None, typer.Option(help="A Markdown file whose table is replaced.")] = None,
) -> None:
    """The table once more, from results that are there; also of a bench that was interrupted."""
    from lab.rig import measure

    for line in measure.show(files, write):
        print(f"broken: {line}")


def _rig(lan: str, gateways: int, nodes: int) -> Rig:
    from lab.rig.plan import Shape
    from lab.rig.rig import Rig

    rig = Rig(Shape(lan="routed" if lan == "routed" else "l2", gateways=gateways, nodes=nodes))
    rig.up()
    return rig


def _with_agents() -> Rig:
    from lab.rig.ours import Ours
    from lab.rig.plan import Shape
    from lab.rig.rig import Rig

    setup = Ours()
    rig = Rig(Shape(), probing=setup.probing, routes=setup.routes)
    rig.up()
    setup.prepare(rig)
    setup.settle(rig)
    return rig
