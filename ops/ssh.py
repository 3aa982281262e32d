"""A node script over SSH: with the agent's keys, to exactly the machine that the stack means."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from ops.errors import OpsError
from ops.wait import Deadline

DIAL_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
# A machine that refuses our key right after its boot may still be making the account; not for ever.
TRIES_WHEN_REFUSED = 3
# A machine that loses its power keeps the connection open for ever: ask every 15 s, give up after a minute.
KEEPALIVE_SECONDS, KEEPALIVE_COUNT = 15, 4
TAIL_LINES = 12


@dataclass(frozen=True, kw_only=True)
class Login:
    """How to reach a machine; `host_key` is compared, never learned on first use."""

    host: str
    port: int
    user: str
    host_key: str
    jump: Login | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


def run_script(
    login: Login, command: str, script: str, *, machine: str, patience: float, step: str = "node script"
) -> None:
    """
    Runs `command` with the script on its standard input; raises OpsError that names machine and step. A machine
    that does not answer is dialled for `patience` seconds.
    """
    asyncio.run(_until_stopped(_run(login, command, script, machine, patience, step), machine))


async def _until_stopped(work: Any, machine: str) -> None:
    """Ends the work when the whole run is cancelled."""
    task, endless = asyncio.ensure_future(work), Deadline(float("inf"))
    while not task.done():
        await asyncio.wait({task}, timeout=0.2)
        if endless.expired:
            task.cancel()
            await asyncio.wait({task})
            raise OpsError(f"machine {machine}: cancelled")
    task.result()


async def _run(login: Login, command: str, script: str, machine: str, patience: float, name: str) -> None:
    async with AsyncExitStack() as stack:
        tunnel = None
        for hop in (login.jump, login):
            if hop is None:
                continue
            step = f"machine {machine}: step 'reach {hop} over SSH'"
            tunnel = await _dial(stack, hop, tunnel, Deadline(patience), step)
        status, tail = await _execute(tunnel, command, script, f"machine {machine}: step '{name}'")
        if status != 0:
            said = "\n".join(tail) or "(it printed nothing)"
            raise OpsError(f"machine {machine}: step '{name}': exit status {status}:\n{said}")


async def _agent_keys(stack: AsyncExitStack) -> list[Any]:
    import asyncssh

    socket = os.environ.get("SSH_AUTH_SOCK")
    if not socket:
        raise OpsError("SSH agent: SSH_AUTH_SOCK is not set; start one and add the operator's key (ssh-add)")
    try:
        agent = await asyncssh.connect_agent(socket)
    except OSError as error:
        raise OpsError(f"SSH agent: cannot use {socket}: {error.strerror or error}") from error
    # It must stay connected while it signs for us.
    return list(await (await stack.enter_async_context(agent)).get_keys())


async def _dial(stack: AsyncExitStack, hop: Login, tunnel: Any, deadline: Deadline, step: str) -> Any:
    import asyncssh

    refused, pause = 0, FIRST_PAUSE
    while True:
        try:
            # Each try asks the agent anew: one that was given up may have left an answer unread, which the next would
            # take for its own, and be refused with another's signature.
            async with AsyncExitStack() as agent:
                keys = await _agent_keys(agent)
                return await stack.enter_async_context(await _connect(hop, keys, tunnel))
        except asyncssh.HostKeyNotVerifiable:
            raise OpsError(
                f"{step}: it shows another host key than the stack expects; no secret was sent. If the machine was "
                f"reinstalled on purpose, write its new key into the stack (ssh-keyscan -t ed25519 {hop.host})"
            ) from None
        except (TimeoutError, OSError, asyncssh.Error) as error:
            refused += isinstance(error, asyncssh.PermissionDenied)
            if deadline.expired or refused >= TRIES_WHEN_REFUSED:
                raise OpsError(f"{step}: {_reason(error)} (tried for {deadline.passed:.0f} s)") from error
        await asyncio.sleep(pause)
        pause = min(pause * 1.6, LONGEST_PAUSE)


async def _connect(hop: Login, keys: list[Any], tunnel: Any) -> Any:
    import asyncssh

    try:
        expected = asyncssh.import_public_key(hop.host_key.strip())
    except asyncssh.KeyImportError as error:
        raise OpsError(
            f"host key of {hop}: not a public key ({error}); write it as in known_hosts"
        ) from error
    attempt = asyncssh.connect(
        hop.host,
        hop.port,
        username=hop.user,
        client_keys=keys or None,
        agent_path=None,
        agent_forwarding=False,
        # The user's own SSH files are not part of the stack.
        config=None,
        known_hosts=([expected], [], []),
        keepalive_interval=KEEPALIVE_SECONDS,
        keepalive_count_max=KEEPALIVE_COUNT,
        tunnel=tunnel or (),
    )
    return await asyncio.wait_for(attempt, DIAL_SECONDS)


async def _execute(connection: Any, command: str, script: str, step: str) -> tuple[int | None, list[str]]:
    """The exit status, None if the connection was lost, and the last lines that the script printed."""
    import asyncssh

    tail: deque[str] = deque(maxlen=TAIL_LINES)
    try:
        process = await connection.create_process(
            command, stderr=asyncssh.STDOUT, encoding="utf-8", errors="replace"
        )
        feeding = asyncio.ensure_future(_feed(process, script))
        async for line in process.stdout:
            tail.append(line.rstrip("\n"))
        await feeding
        await process.wait_closed()
    except (OSError, asyncssh.Error) as error:
        raise OpsError(f"{step}: the machine was lost while it ran: {_reason(error)}") from error
    return process.exit_status, list(tail)


async def _feed(process: Any, text: str) -> None:
    try:
        process.stdin.write(text)
        await process.stdin.drain()
        process.stdin.write_eof()
    except (BrokenPipeError, ConnectionError):
        return  # a script that failed early need not read the rest of itself


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return f"no answer within {DIAL_SECONDS:.0f} s"
    if isinstance(error, OSError):
        # asyncio's own text is "Connect call failed", whatever the reason.
        return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return str(error) or type(error).__name__
