"""The lab's verbs for people: up, down, status, shell, preview, kubeconfig, and a machine's fate."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from tools import paths

app = typer.Typer(
    help="A small cloud on this machine, and the stack that runs in it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Stack = Annotated[str, typer.Argument(help="The stack: Pulumi.<stack>.yaml.")]
Machine = Annotated[str, typer.Argument(help="A machine's name, as `status` lists it.")]


def main() -> None:
    try:
        app()
    except RuntimeError as problem:
        # The rooms' own errors (LabError, ToolchainError, EngineError): the message says what to do.
        Console(stderr=True).print(f"[bold red]error:[/] {problem}", highlight=False, soft_wrap=True)
        sys.exit(1)


@app.command()
def up(stack: Stack = "dev") -> None:
    """Bring up the lab and everything the stack says; run again, it converges."""
    from lab import engine

    raise typer.Exit(0 if engine.up(stack) else 1)


@app.command()
def preview(
    stack: Stack = "dev",
    base: Annotated[
        str, typer.Option(help="Compare with this stack file, or with this commit's (origin/main).")
    ] = "",
    report: Annotated[str, typer.Option(help="Write the report as Markdown and JSON into this folder.")] = "",
) -> None:
    """What a change does, checked by the policies. Needs neither root nor a running lab."""
    from lab.preview import Options
    from lab.preview import preview as run

    end(run(stack, Options(base or None, Path(report) if report else None)))


@app.command()
def down() -> None:
    """Remove the lab: machines, networks, processes, files. Works after any crash."""
    from lab import cloud, leftovers

    begun = time.monotonic()
    _require_root()
    cloud.down()
    if left := leftovers.of_the_lab():
        lines = "\n".join(f"  - {kind}: {', '.join(items)}" for kind, items in left.items())
        raise cloud.LabError(f"this of the lab is still here, run `make down` again:\n{lines}")
    print(f"The lab is down, nothing of it is left ({time.monotonic() - begun:.1f} s).")


@app.command()
def status() -> None:
    """Networks and machines, and how to reach them."""
    from lab import addresses, cloud, headscale, net, processes

    if net.namespace_exists(addresses.INTERNET):
        _require_root()
    if not net.internet_is_up():
        print("The lab is down. `make up` starts it.")
        return
    server = "runs" if processes.daemon("headscale") else "does not run: `make up` starts it again"
    print(
        f"internet {addresses.PUBLIC}, operator {addresses.OPERATOR}, control server {headscale.URL} {server}"
    )
    for network in cloud.list_networks():
        nat = f", {network.nat} NAT" if network.nat else ""
        print(f"network {network.name}: {network.cidr}, {network.lan}{nat}")
    table = Table(
        "machine", "network", "role", "node IP", "public IP", "SSH", "state", box=None, pad_edge=False
    )
    for m in cloud.list_machines():
        state = "unfinished" if not m.host_key else "on" if m.running else "off"
        ssh = f"root@{m.ssh_host} -p {m.ssh_port}"
        table.add_row(m.name, m.network, m.role, str(m.node_ip), m.public_ip or "-", ssh, state)
    if table.row_count:
        Console(width=None if sys.stdout.isatty() else 140).print(table)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def shell(machine: Machine, context: typer.Context) -> None:
    """A root shell on a machine, or one command after `--`; like a cloud's console it needs no network."""
    from lab import lxc, records

    _require_root()
    network = records.read().machine(machine).spec.network
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    command = context.args or ["bash", "--login"]
    argv = lxc.attach(network, machine, command, interactive=interactive)
    raise typer.Exit(subprocess.run(argv, check=False).returncode)


@app.command()
def kubeconfig() -> None:
    """The line that points kubectl to the lab's cluster."""
    file = paths.lab_dir() / "kubeconfig"
    if not file.exists():
        raise RuntimeError(f"{file}: there is no cluster yet: run `make up`")
    print(f"export KUBECONFIG={file}")


@app.command()
def reboot(machine: Machine) -> None:
    """An orderly reboot."""
    from lab import cloud

    _timed(f"{machine} rebooted", lambda: cloud.reboot(machine))


@app.command()
def power_off(machine: Machine) -> None:
    """A power cut: nothing on the machine gets to say goodbye."""
    from lab import cloud

    _timed(f"{machine} is off", lambda: cloud.power_off(machine))


@app.command()
def power_on(machine: Machine) -> None:
    """Start a machine that was cut off power."""
    from lab import cloud

    _timed(f"{machine} is on", lambda: cloud.power_on(machine))


def _timed(done: str, action: Callable[[], None]) -> None:
    _require_root()
    begun = time.monotonic()
    action()
    print(f"{done} ({time.monotonic() - begun:.1f} s)")


def end(code: int) -> NoReturn:
    """Leave without the interpreter taking a thousand modules apart, which takes it as long as starting a plugin."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise RuntimeError("not root: the lab's machines and networks belong to root: run the same with sudo")
