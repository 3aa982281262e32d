"""The agent's HTTP side: /healthz, /readyz, /identity, /metrics, and the drain that `agent drain` asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

_REASONS = {
    200: "OK",
    202: "Accepted",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
_READ_SECONDS = 5.0
Metrics = Mapping[str, float]


class Agent(Protocol):
    """What can be asked of a running agent."""

    @property
    def identity(self) -> str: ...
    def healthy(self) -> bool: ...
    def ready(self) -> tuple[bool, str]: ...
    def metrics(self) -> Metrics: ...
    def drain(self, wanted: bool) -> None: ...
    async def hand_over(self) -> str: ...
    def drained(self) -> tuple[bool, str]: ...


Reply = tuple[int, str]


async def serve(agent: Agent, listen: str) -> asyncio.Server:
    """Answer on `listen` (address:port) until the server is closed."""

    async def reply(line: bytes) -> Reply:
        return await _waited(agent, line) or answer(agent, line)

    return await _serve(reply, listen)


async def serve_health(agent: Agent, listen: str) -> asyncio.Server:
    """
    Answer a load balancer: GET /readyz, and nothing else. Apart from the above, because this is heard outside the
    machine, and nobody there may ask for a drain.
    """

    async def reply(line: bytes) -> Reply:
        return (
            answer(agent, line) if line.split()[:2] == [b"GET", b"/readyz"] else (404, "only GET /readyz\n")
        )

    return await _serve(reply, listen)


async def _serve(reply: Callable[[bytes], Awaitable[Reply]], listen: str) -> asyncio.Server:
    host, _, port = listen.rpartition(":")

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), _READ_SECONDS)
            while await asyncio.wait_for(reader.readline(), _READ_SECONDS) not in (b"\r\n", b"\n", b""):
                pass
            status, text = await reply(line)
            head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/plain; version=0.0.4\r\n"
            writer.write(
                f"{head}Content-Length: {len(text.encode())}\r\nConnection: close\r\n\r\n{text}".encode()
            )
            await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(client, host, int(port))


async def _waited(agent: Agent, line: bytes) -> Reply | None:
    """
    What takes its time: a drain, answered when it is done. By GET, because it is a pod's `preStop` and the kubelet can
    ask no other way without a shell; nobody but this machine is listened to.
    """
    if line.split()[:2] != [b"GET", b"/hand-over"]:
        return None
    return 200, await agent.hand_over() + "\n"


def answer(agent: Agent, line: bytes) -> Reply:
    """Status and text for a request line."""
    words = line.decode("latin-1").split()
    if len(words) < 2:
        return 404, "no request\n"
    method, path = words[0], words[1]
    if method == "POST" and path in ("/drain", "/undrain"):
        agent.drain(path == "/drain")
        return 202, "asked\n"
    if method != "GET":
        return 405, "use GET\n"
    views: dict[str, Callable[[], tuple[bool, str]]] = {
        "/healthz": lambda: (agent.healthy(), "alive" if agent.healthy() else "the loop stands still"),
        "/readyz": agent.ready,
        "/identity": lambda: (True, agent.identity),
        "/drain": agent.drained,
        "/metrics": lambda: (True, _text(agent.metrics())),
    }
    if path not in views:
        return 404, f"no {path}; there are {' '.join(views)}\n"
    good, text = views[path]()
    return (200 if good else 503), text if text.endswith("\n") else text + "\n"


def _text(metrics: Metrics) -> str:
    return "".join(f"tailspan_agent_{name} {value:g}\n" for name, value in metrics.items())
