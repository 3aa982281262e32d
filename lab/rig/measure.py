"""The bench as a whole: each setup in a world of its own, results in files, one table in the end."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.rig import result, table
from lab.rig.bench import Bench
from lab.rig.catalogue import EVENTS
from lab.rig.events import Event
from lab.rig.plan import Shape
from lab.rig.result import Result
from lab.rig.rig import Rig, versions
from lab.rig.setups import Probed, Setup
from lab.shell import LabError
from tools import paths

# Without an agent most failures never end by themselves: watching longer than this shows nothing new.
_BASELINE_PATIENCE = 8.0
_PATIENCE = 10.0
# On a routed LAN the hop inside the region is another; what follows it is the same.
_ROUTED = "power_off,kill_tailscaled,kill_pod,kill_agent,lan_dead,tailnet_dead,strict_rp_filter,strict_packet_filter"
# Three runs of an event take about two minutes here, and all of the bench shall take 90 at most. In the order that lets
# kubelets wait least: a machine that was rebooted has forgotten how often a container died.
_ON_CLUSTER = "power_off,kill_pod,no_forwarding,drain,reboot,kill_tailscaled,kill_agent,rolling,without_api"
SETUPS = {"agent", "cluster", "probed", "article"}
TITLES = {
    "agent": "tailspan",
    "agent, routed LAN": "tailspan, routed LAN",
    "agent, whole cluster": "tailspan, whole cluster",
    "probed": "headscale's probing at its minimum, no agent",
    "article": "the article's setup: equal prefixes, ECMP",
}
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


def setup_named(name: str) -> Setup:
    if name == "agent":
        # Here, not above: the setups without an agent need none.
        from lab.rig.ours import Ours

        return Ours()
    known = {"probed": Probed, "article": Setup}
    if name not in known:
        raise LabError(f"setup {name!r}: write agent, probed or article")
    return known[name]()


def chosen(events: str) -> list[Event]:
    names = [name for name in events.split(",") if name]
    known = {event.name: event for event in EVENTS}
    if unknown := [name for name in names if name not in known]:
        raise LabError(f"events {', '.join(unknown)}: there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(EVENTS)


def measure(
    name: str, out: Path, *, lan: str, gateways: int, runs: range, events: str, patience: float
) -> None:
    """Inside a world: brings a rig up in that setup and runs the events; a line of JSON for each step."""
    setup = setup_named(name)
    wanted = [event for event in chosen(events) if name == "agent" or event.compared]
    shape = Shape(lan="routed" if lan == "routed" else "l2", gateways=gateways)
    rig = Rig(shape, probing=setup.probing, routes=setup.routes)
    rig.up()
    setup.prepare(rig)
    if lan == "routed":
        setup.name = f"{setup.name}, routed LAN"
    if gateways != 2:
        setup.name = f"{setup.name}, {gateways} gateways"
    bench = Bench(rig, setup, patience=patience, report=lambda one: _report(out, one))
    for event in wanted:
        for number in runs:
            if number % event.every == 0:
                bench.run(event, number // event.every)
    bench.close()


def _report(out: Path, one: Result) -> None:
    result.append(out, one)
    for event, step in table.rows():
        if (event.name, step.part) == (one.event, one.part):
            print(
                f"{one.setup}, {one.victim}, run {one.run}: {step.title}: {table.cell([one], step)}",
                flush=True,
            )


def on_cluster(out: Path, runs: int, events: str) -> None:
    """The dev stack's lab; brought up first if it is not, and then taken down again."""
    # Here, not above: the rig needs nothing of it.
    from lab.rig import cluster

    was_up = bool(cluster.agent_says(cluster.VICTIMS[0], "healthz"))
    if not was_up:
        _lab("up", "dev")
    try:
        cluster.measure(runs, events, lambda one: _report(out, one))
    finally:
        if not was_up:
            _lab("down")


def _lab(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab", *words],
        cwd=paths.repo_root(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabError(f"`python -m lab {' '.join(words)}` failed:\n{done.stderr[-2000:]}")


@dataclass(frozen=True)
class Part:
    """What one world measures."""

    setup: str
    lan: str
    events: str
    runs: range

    @property
    def name(self) -> str:
        return f"{self.setup}-{self.lan}-{self.runs.start}"

    def words(self, folder: Path) -> list[str]:
        patience = _PATIENCE if self.setup == "agent" else _BASELINE_PATIENCE
        words = ["--keep", str(folder / f"{self.name}.log")]
        words += ["measure", self.setup, str(folder / f"{self.name}.jsonl"), "--lan", self.lan]
        words += ["--first", str(self.runs.start), "--runs", str(len(self.runs))]
        return [*words, "--events", self.events, "--patience", str(patience)]


def bench(
    runs: int,
    baseline_runs: int,
    cluster_runs: int,
    events: str,
    setups: Sequence[str],
    folder: Path,
    write: Path | None,
    side_by_side: int,
) -> int:
    """Returns the exit code: 1 if a run with the agent broke its promise, or could not be measured."""
    begun = time.monotonic()
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    chosen(events)
    if unknown := set(setups) - SETUPS:
        raise LabError(f"setups {', '.join(sorted(unknown))}: there are {', '.join(sorted(SETUPS))}")
    parts = _parts(setups, events, runs, baseline_runs, side_by_side)
    files = [folder / f"{part.name}.jsonl" for part in parts]
    if "cluster" in setups:
        files.append(folder / "cluster.jsonl")
    for file in files:
        file.unlink(missing_ok=True)
        file.touch()
    failed = [
        f"{part.name}: the run ended early, its logs are in {folder / f'{part.name}.log'}"
        for part in _at_once(parts, folder, side_by_side)
    ]
    if "cluster" in setups:
        try:
            on_cluster(files[-1], cluster_runs, events or _ON_CLUSTER)
        except LabError as problem:
            failed.append(f"whole cluster: {problem}")
    problems = failed + show(files, write)
    print(f"the bench took {(time.monotonic() - begun) / 60:.0f} min")
    for line in problems:
        print(f"broken: {line}")
    return 1 if problems else 0


def _at_once(parts: Sequence[Part], folder: Path, side_by_side: int) -> list[Part]:
    """Runs every part in a world of its own, so many at a time; returns those that failed."""
    waiting, running, failed = list(parts), list[tuple[Part, subprocess.Popen[bytes]]](), list[Part]()
    while waiting or running:
        while waiting and len(running) < side_by_side:
            part = waiting.pop(0)
            # A world ends with this process, however it ends.
            words = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "lab.rig", *part.words(folder)]
            running.append((part, subprocess.Popen(words, cwd=paths.repo_root())))
        time.sleep(0.5)
        # Asked once: one that ends in between must not be missed.
        codes = [process.poll() for _, process in running]
        failed += [part for (part, _), code in zip(running, codes, strict=True) if code]
        running = [one for one, code in zip(running, codes, strict=True) if code is None]
    return failed


def show(files: Sequence[Path], write: Path | None) -> list[str]:
    """Prints the table of what was measured, and writes it; returns the promises that were broken."""
    results = result.read(files)
    if not results:
        raise LabError(f"{', '.join(map(str, files))}: no results: run `python -m lab.rig bench`")
    _print(results)
    if write:
        _write(write, results)
    return [
        line
        for name in _columns(results)
        if name.startswith("agent")
        for line in table.broken_promises(results, name)
    ]


def _parts(
    setups: Sequence[str], events: str, runs: int, baseline_runs: int, side_by_side: int
) -> list[Part]:
    """The longest first, and cut, so that they end at about the same time."""
    size = -(-runs // side_by_side)
    cut = [range(first, min(first + size, runs)) for first in range(0, runs, size)]
    routed = [one for one in _ROUTED.split(",") if not events or one in events.split(",")]
    every = [Part("agent", "l2", events, numbers) for numbers in cut]
    # Without an agent it takes headscale long to get back into the normal state.
    every.append(Part("probed", "l2", events, range(baseline_runs)))
    if routed:
        every.append(Part("agent", "routed", ",".join(routed), range(-(-3 * runs // 10))))
    every.append(Part("article", "l2", events, range(baseline_runs)))
    return [part for part in every if part.setup in setups]


def _print(results: Sequence[Result]) -> None:
    setups = _columns(results)
    shown = Table("event", "goal", *setups.values(), show_lines=True)
    for event, step in table.rows():
        mine = [one for one in results if (one.event, one.part) == (event.name, step.part)]
        if mine:
            cells = [table.cell([one for one in mine if one.setup == setup], step) for setup in setups]
            shown.add_row(step.title, table.goal(step), *cells)
    Console(width=None if Console().is_terminal else 200).print(shown)


def _columns(results: Sequence[Result]) -> dict[str, str]:
    present = {one.setup for one in results}
    others = sorted(present - TITLES.keys())
    return {name: title for name, title in TITLES.items() if name in present} | {
        name: name for name in others
    }


def _write(file: Path, results: Sequence[Result]) -> None:
    """Puts the table between its marks; what stands around it is written by people."""
    text = file.read_text()
    if _BEGIN not in text or _END not in text:
        raise LabError(f"{file}: has no lines {_BEGIN} and {_END}: write them where the table belongs")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    measured = table.markdown(results, _columns(results))
    told = ", ".join(f"{name} {version}" for name, version in versions().items())
    columns = _columns(results)
    counts = {name: max(one.run for one in results if one.setup == name) + 1 for name in columns}
    runs = ", ".join(f"{count} of {columns[name]}" for name, count in counts.items())
    first, last = min(one.at for one in results), max(one.at for one in results)
    when = f"{first[:10]}, {first[11:16]} to {last[11:16]} UTC"
    machine = f"Measured on {_processor()} with {told}; {when}. Runs of each event, at most: {runs}."
    file.write_text(f"{before}{_BEGIN}\n{machine}\n\n{measured}{_END}{after}")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
