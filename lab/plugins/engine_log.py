"""Messages from a plugin to the engine's log, with every secret that the plugin was given taken out."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress

import grpc

from lab.plugins.base import Log
from lab.plugins.protos import engine_pb2, engine_pb2_grpc

# Shorter texts ("true", "root") would mangle ordinary messages, and are no secrets worth the name.
SHORTEST_SECRET = 8


class EngineLog:
    def __init__(self) -> None:
        self._engine: engine_pb2_grpc.EngineStub | None = None
        self._lock = threading.Lock()
        self._secrets: set[str] = set()

    def connect(self, address: str) -> None:
        if address and self._engine is None:
            self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def hide(self, secrets: Iterable[str]) -> None:
        """Secrets arrive whole, messages line by line: each line of a secret is one too."""
        lines = {line.strip() for text in secrets for line in (text, *text.splitlines())}
        with self._lock:
            self._secrets |= {line for line in lines if len(line) >= SHORTEST_SECRET}

    def clean(self, message: str) -> str:
        with self._lock:
            known = sorted(self._secrets, key=len, reverse=True)
        for secret in known:
            message = message.replace(secret, "[secret]")
        return message

    def to(self, urn: str) -> Log:
        last = ""

        def log(message: str, *, warning: bool = False, passing: bool = False) -> None:
            """A passing message is a status that the next one replaces."""
            nonlocal last
            if self._engine is None or (passing and message == last):
                return
            last = message
            severity = engine_pb2.WARNING if warning else engine_pb2.INFO
            request = engine_pb2.LogRequest(
                severity=severity,
                message=self.clean(message),
                urn=urn if urn.startswith("urn:") else "",
                ephemeral=passing,
            )
            # An engine on its way out takes no more lines; that must not fail the work.
            with suppress(grpc.RpcError):
                self._engine.Log(request, timeout=5)

        return log
