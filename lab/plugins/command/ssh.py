"""One command over SSH: dial (patiently, through a jump host if told), verify the host key, run, collect."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncssh

from lab.plugins.base import Call, PluginError
from lab.plugins.command.common import Job, Outcome, texts
from lab.plugins.command.hostkey import HostKeyCheck, expected_key
from lab.plugins.command.identity import Identity, identity

DEFAULT_TRIES = 10
DEFAULT_DIAL_SECONDS = 15
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
# A machine that refuses our key right after its boot may still be making the account; not for ever.
TRIES_WHEN_REFUSED = 3
# A machine that loses its power keeps the connection open for ever: ask every 15 s, give up after a minute.
KEEPALIVE_SECONDS, KEEPALIVE_COUNT = 15, 4


def run_over_ssh(call: Call, job: Job) -> Outcome:
    return asyncio.run(_run(call, job))


async def _run(call: Call, job: Job) -> Outcome:
    work = asyncio.ensure_future(_dial_and_run(call, job))
    deadline = time.monotonic() + call.timeout if call.timeout else float("inf")
    while not work.done():
        await asyncio.wait({work}, timeout=0.2)
        if call.cancelled.is_set() or time.monotonic() > deadline:
            work.cancel()
            await asyncio.wait({work})
            why = (
                "cancelled"
                if call.cancelled.is_set()
                else f"not done after {call.timeout:.0f} s (customTimeouts)"
            )
            return Outcome(why, "", "")
    return work.result()


async def _dial_and_run(call: Call, job: Job) -> Outcome:
    target = job.inputs["connection"]
    async with AsyncExitStack() as stack:
        tunnel = None
        if target.get("proxy"):
            tunnel = await _dial(call, stack, Hop.of(target["proxy"], "jump host "), None)
        connection = await _dial(call, stack, Hop.of(target), tunnel)
        return await _execute(connection, job, Hop.of(target))


@dataclass(frozen=True)
class Hop:
    what: str
    host: str
    port: int
    user: str
    settings: dict[str, Any]

    @classmethod
    def of(cls, settings: dict[str, Any], what: str = "") -> Hop:
        port, user = int(settings.get("port") or 22), settings.get("user") or "root"
        return cls(what, settings["host"], port, user, settings)

    def __str__(self) -> str:
        return f"{self.what}{self.host}:{self.port}"


async def _dial(
    call: Call, stack: AsyncExitStack, hop: Hop, tunnel: asyncssh.SSHClientConnection | None
) -> asyncssh.SSHClientConnection:
    limit = int(hop.settings.get("dialErrorLimit") or DEFAULT_TRIES)
    check = HostKeyCheck(str(hop), expected_key(hop.settings.get("hostKey"), str(hop)))
    tries, pause = 0, FIRST_PAUSE
    while True:
        tries += 1
        # Each try asks the agent anew: one that was given up may have left an answer unread, which the next would take
        # for its own, and be refused with another's signature.
        async with identity(hop.settings) as known:
            try:
                return await stack.enter_async_context(await _connect(hop, known, check, tunnel))
            except (TimeoutError, OSError, asyncssh.Error) as error:
                problem = error
        check.raise_if_refused()
        refused = isinstance(problem, asyncssh.PermissionDenied)
        if limit != -1 and tries >= (min(limit, TRIES_WHEN_REFUSED) if refused else limit):
            raise PluginError(_cannot_connect(hop, tries, problem, known)) from problem
        call.log(f"waiting for SSH on {hop} (try {tries}: {_reason(problem)})", passing=True)
        await asyncio.sleep(pause)
        pause = min(pause * 1.6, LONGEST_PAUSE)


async def _connect(
    hop: Hop, known: Identity, check: HostKeyCheck, tunnel: asyncssh.SSHClientConnection | None
) -> asyncssh.SSHClientConnection:
    seconds = hop.settings.get("perDialTimeout")
    limit = DEFAULT_DIAL_SECONDS if seconds is None else int(seconds)
    attempt = asyncssh.connect(
        hop.host,
        hop.port,
        username=hop.user,
        client_keys=known.keys or None,
        password=known.password,
        agent_path=None,
        agent_forwarding=False,
        # The user's own SSH files are not part of the stack.
        config=None,
        known_hosts=([], [], []),
        client_factory=check.client,
        server_host_key_algs=check.algorithms or (),
        keepalive_interval=KEEPALIVE_SECONDS,
        keepalive_count_max=KEEPALIVE_COUNT,
        tunnel=tunnel or (),
    )
    return await asyncio.wait_for(attempt, limit or None)


def _cannot_connect(hop: Hop, tries: int, problem: BaseException, known: Identity) -> str:
    if isinstance(problem, asyncssh.PermissionDenied):
        offered = f"{tries} tries; offered: {known.describe()}"
        return f"SSH: {hop} does not let user {hop.user} in ({offered}): {problem.reason}"
    return f"SSH: cannot reach {hop} after {tries} {'try' if tries == 1 else 'tries'}: {_reason(problem)}"


def _reason(problem: BaseException) -> str:
    if isinstance(problem, asyncio.TimeoutError):
        return "no answer within the dial timeout"
    if isinstance(problem, OSError):
        # asyncio's own text is "Connect call failed", whatever the reason.
        return os.strerror(problem.errno) if problem.errno and problem.errno > 0 else str(problem)
    return str(problem) or type(problem).__name__


async def _execute(connection: asyncssh.SSHClientConnection, job: Job, hop: Hop) -> Outcome:
    captured: dict[str, list[str]] = {"stdout": [], "stderr": []}

    async def collect(name: str, stream: asyncssh.SSHReader[str]) -> None:
        async for line in stream:
            captured[name].append(line)
            job.on_line(name, line)

    try:
        # `encoding` with replacement: a tool's stray byte must not fail the command.
        process = await connection.create_process(
            job.command, env=texts(job.environment), encoding="utf-8", errors="replace"
        )
        readers = [collect("stdout", process.stdout), collect("stderr", process.stderr)]
        feed = _feed(process, job.stdin)
        await asyncio.gather(feed, *readers)
        await process.wait_closed()
    except (OSError, asyncssh.Error) as problem:
        raise PluginError(f"SSH: {hop} was lost while the command ran: {_reason(problem)}") from problem
    return Outcome(_status(process, hop), "".join(captured["stdout"]), "".join(captured["stderr"]))


async def _feed(process: asyncssh.SSHClientProcess[str], text: str) -> None:
    try:
        process.stdin.write(text)
        await process.stdin.drain()
        process.stdin.write_eof()
    except (BrokenPipeError, ConnectionError):
        return  # a command need not read its input


def _status(process: asyncssh.SSHClientProcess[str], hop: Hop) -> str:
    if process.exit_signal:
        return f"killed by signal {process.exit_signal[0]}"
    if process.exit_status is None:
        return f"no exit status ({hop} was lost while the command ran)"
    return f"exit status {process.exit_status}" if process.exit_status else ""
