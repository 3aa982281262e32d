"""Builds the Go programs that cannot be had otherwise, each once per pinned version, flags and Go version."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from tools import golang, paths, store, versions
from tools.progress import Progress, Task
from tools.versions import Tool

Scope = Literal["engine", "lab", "lint"]
LINT = ("actionlint",)
SCOPES: dict[Scope, tuple[str, ...]] = {
    "engine": ("pulumi",),
    "lab": tuple(tool.name for tool in versions.all_tools() if tool.name not in LINT),
    "lint": LINT,
}


def ensure(scope: Scope, progress: Progress | None = None) -> None:
    """Every program of the scope is in bin_dir() afterwards."""
    if progress is None:
        with Progress() as own:
            return ensure(scope, own)
    tools = [versions.tool(name) for name in SCOPES[scope]]
    ours = [tool for tool in tools if not _use_official(tool)]
    missing = [tool for tool in ours if not tool_dir(tool).exists()]
    if missing:
        with store.locked("go-build", "Go programs"):
            # Another run may have built them while this one waited.
            if missing := [tool for tool in missing if not tool_dir(tool).exists()]:
                _build_all(missing, progress)
    for tool in ours:
        _link(tool_dir(tool), tool.programs)


def tool_dir(tool: Tool) -> Path:
    """Named by all that decides what comes out of the build."""
    sources = sorted(
        p for p in tool.module_dir.rglob("*") if p.name in ("go.mod", "go.sum") or p.suffix == ".go"
    )
    identity = store.digest(
        golang.version_of(golang.go()), *golang.FLAGS, tool.ldflags, *sorted(tool.programs.values()), *sources
    )
    return paths.tools_dir() / f"{tool.name}-{identity}"


def _use_official(tool: Tool) -> bool:
    """The user's own program of exactly the pinned version is taken as it is."""
    if tool.official is None:
        return False
    ours = paths.bin_dir().resolve()
    for folder in (Path(entry) for entry in _path_entries() if entry and Path(entry).resolve() != ours):
        program = folder / tool.official.program
        if not program.is_file():
            continue
        command = [str(program), *tool.official.command]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == tool.official.prints:
            _link(folder, [tool.official.program])
            return True
    return False


def _path_entries() -> Sequence[str]:
    return os.environ.get("PATH", "").split(":")


def _link(folder: Path, programs: Iterable[str]) -> None:
    paths.bin_dir().mkdir(parents=True, exist_ok=True)
    for program in programs:
        link, new = paths.bin_dir() / program, paths.bin_dir() / f".{program}.new"
        if link.is_symlink() and link.readlink() == folder / program:
            continue
        new.unlink(missing_ok=True)
        new.symlink_to(folder / program)
        new.rename(link)


def _build_all(tools: list[Tool], progress: Progress) -> None:
    minutes = sum(tool.minutes for tool in tools)
    progress.line(
        f"building {len(tools)} tool{'s' * (len(tools) > 1)} ({', '.join(tool.name for tool in tools)}): "
        f"about {minutes:.0f} min on two cores, once; nothing of it is built again"
    )
    downloads = _Downloads(tools)
    for number, tool in enumerate(tools, 1):
        name = f"[{number}/{len(tools)}] {tool.name} {tool.version}"
        with progress.task(name, f"about {tool.minutes:g} min when nothing is cached") as task:
            task.say("downloading modules")
            downloads.wait(tool)
            with store.partial(tool_dir(tool)) as work:
                _compile(tool, work, task)


class _Downloads:
    """Fetches the modules of the next tools while one compiles: the network waits for no processor."""

    def __init__(self, tools: list[Tool]) -> None:
        self._done = {tool.name: threading.Event() for tool in tools}
        threading.Thread(target=self._run, args=(tools,), daemon=True).start()

    def _run(self, tools: list[Tool]) -> None:
        for tool in tools:
            # `list -deps` fetches just what the programs import; `mod download` would fetch the whole graph.
            # A failure here shows itself again, with its message, in the build that follows.
            with (_log(f"download-{tool.name}")).open("w") as log:
                subprocess.run(
                    [golang.go(), "list", "-deps", *tool.programs.values()],
                    cwd=tool.module_dir, env=_env(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=log, check=False,
                )  # fmt: skip
            self._done[tool.name].set()

    def wait(self, tool: Tool) -> None:
        self._done[tool.name].wait()


def _compile(tool: Tool, out: Path, task: Task) -> None:
    log = _log(f"build-{tool.name}")
    # With several programs go names each after its package's folder; a single one gets its name here.
    target = f"{out}/" if len(tool.programs) > 1 else str(out / next(iter(tool.programs)))
    flags = [*golang.FLAGS, "-ldflags", tool.ldflags, "-o", target]
    command = [str(golang.go()), "build", "-v", *flags, *tool.programs.values()]
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, cwd=tool.module_dir, env=_env(), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
        try:
            while process.poll() is None:
                task.say(
                    f"{_lines(log)} packages compiled, about {tool.minutes:g} min in all, less if cached"
                )
                time.sleep(0.3)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        raise store.failure(
            ["go", "build", tool.name], process.returncode, log.read_text(errors="replace"), log
        )
    if lost := [name for name in tool.programs if not (out / name).exists()]:
        raise paths.ToolchainError(
            f"{tool.name}: the build made no {', '.join(lost)}: see versions.toml, programs"
        )


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"\n")


def _log(name: str) -> Path:
    paths.logs_dir().mkdir(parents=True, exist_ok=True)
    return paths.logs_dir() / f"{name}.log"


def _env() -> dict[str, str]:
    return os.environ | golang.environment()


def remove_outdated() -> list[Path]:
    """Builds of other versions than the pinned ones."""
    wanted = {tool_dir(tool) for tool in versions.all_tools()}
    old = [p for p in paths.tools_dir().glob("*") if p not in wanted] if paths.tools_dir().exists() else []
    for folder in old:
        shutil.rmtree(folder)
    return old
