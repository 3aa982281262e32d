"""What we show an SSH server: a private key, the agent's keys, or a password."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncssh

from lab.plugins.base import PluginError


@dataclass(frozen=True)
class Identity:
    keys: list[Any]
    password: str | None
    source: str

    def describe(self) -> str:
        parts = (
            [f"{len(self.keys)} key(s) from {self.source}"] if self.keys else [f"no key from {self.source}"]
        )
        return " and ".join([*parts, "a password"] if self.password else parts)


@asynccontextmanager
async def identity(settings: dict[str, Any]) -> AsyncIterator[Identity]:
    password = settings.get("password") or None
    if settings.get("privateKey"):
        yield Identity([_private_key(settings)], password, "privateKey")
        return
    socket = settings.get("agentSocketPath") or os.environ.get("SSH_AUTH_SOCK")
    if not socket:
        yield Identity([], password, "privateKey, agentSocketPath or SSH_AUTH_SOCK (none is set)")
        return
    try:
        agent = await asyncssh.connect_agent(socket)
    except OSError as problem:
        raise PluginError(f"SSH agent: cannot use {socket}: {problem.strerror or problem}") from problem
    async with agent:
        # The agent must stay connected while it signs for us.
        yield Identity(list(await agent.get_keys()), password, f"the agent {socket}")


def _private_key(settings: dict[str, Any]) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(settings["privateKey"], settings.get("privateKeyPassword") or None)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as problem:
        raise PluginError(f"privateKey for {settings['host']}: cannot be read: {problem}") from problem
