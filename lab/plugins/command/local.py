"""`command:local:Command`: a command on this machine."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from typing import IO

from lab.plugins import processes
from lab.plugins.base import Call, PluginError
from lab.plugins.command.common import COMMON_INPUTS, CommandResource, Job, Outcome, texts
from lab.plugins.schema import ListOf, Record

POLL_SECONDS = 0.2


class LocalCommand(CommandResource):
    schema = Record({**COMMON_INPUTS, "dir": "string", "interpreter": ListOf("string")})

    def run(self, call: Call, job: Job) -> Outcome:
        argv = [*(job.inputs.get("interpreter") or ["/bin/sh", "-c"]), job.command]
        folder = job.inputs.get("dir") or None
        try:
            child = processes.start(argv, cwd=folder, env={**os.environ, **texts(job.environment)})
        except OSError as problem:
            raise PluginError(
                f"cannot start {argv[0]} in {folder or os.getcwd()}: {problem.strerror}"
            ) from problem
        try:
            return _follow(call, child, job)
        finally:
            processes.ended(child)


def _follow(call: Call, child: subprocess.Popen[str], job: Job) -> Outcome:
    captured: dict[str, list[str]] = {"stdout": [], "stderr": []}
    threads = [
        threading.Thread(target=_read, args=(stream, name, captured[name], job), daemon=True)
        for name, stream in (("stdout", child.stdout), ("stderr", child.stderr))
    ] + [threading.Thread(target=_write, args=(child.stdin, job.stdin), daemon=True)]
    for thread in threads:
        thread.start()
    why = _wait(call, child)
    # A background process that the command left keeps its pipes open; only what came before its end counts.
    for thread in threads:
        thread.join(timeout=2)
    return Outcome(why or _status(child.returncode), "".join(captured["stdout"]), "".join(captured["stderr"]))


def _wait(call: Call, child: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + call.timeout if call.timeout else float("inf")
    while True:
        with suppress(subprocess.TimeoutExpired):
            child.wait(POLL_SECONDS)
            return ""
        if call.cancelled.is_set() or time.monotonic() > deadline:
            processes.kill(child)
            child.wait()
            return (
                "cancelled"
                if call.cancelled.is_set()
                else f"not done after {call.timeout:.0f} s (customTimeouts)"
            )


def _read(stream: IO[str], name: str, lines: list[str], job: Job) -> None:
    for line in stream:
        lines.append(line)
        job.on_line(name, line)


def _write(stream: IO[str], text: str) -> None:
    # A command need not read its input.
    with suppress(BrokenPipeError), stream:
        stream.write(text)


def _status(code: int) -> str:
    if code == 0:
        return ""
    return f"exit status {code}" if code > 0 else f"killed by signal {-code}"
