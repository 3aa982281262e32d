"""Messages from a plugin to the engine's log, with every secret that the plugin was given taken out."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress

import grpc

from lab.plugins.base import Log
from lab.plugins.protos import engine_pb2, engine_pb2_grpc

# Shorter texts ("true", "root") would mangle ordinary messages, and are no secrets worth the name.
SHORTEST_SECRET = 8
# A word this long inside a longer text is a key, a token or base64.
LIKE_A_KEY = 40


class EngineLog:
    def __init__(self) -> None:
        self._engine: engine_pb2_grpc.EngineStub | None = None
        self._lock = threading.Lock()
        self._secrets: set[str] = set()

    def connect(self, address: str) -> None:
        if address and self._engine is None:
            self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def hide(self, secrets: Iterable[str]) -> None:
        pieces = {piece for text in secrets for piece in _pieces(text)}
        with self._lock:
            self._secrets |= pieces

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


def _pieces(text: str) -> Iterator[str]:
    """Secrets arrive whole, messages line by line: of a script its keys count, not its ordinary words."""
    lines = [line.strip() for line in text.splitlines()]
    # One line of a script may be an ordinary word ("preflight"), which its messages use, too.
    telling = [line for line in lines if " " not in line and not (line.isalpha() and line.islower())]
    whole = [text.strip(), *(telling if len(lines) > 1 else lines)]
    keys = [word.strip("\"',") for line in lines for word in line.split() if len(word) >= LIKE_A_KEY]
    yield from (piece for piece in [*whole, *keys] if len(piece) >= SHORTEST_SECRET)
