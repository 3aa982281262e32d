"""One TCP stream as fast as it goes: `take ADDRESS PORT` counts what arrives, `send ADDRESS PORT SECONDS` sends."""

from __future__ import annotations

import json
import socket
import sys
import time

_CHUNK = bytes(1 << 20)


def take(address: str, port: int) -> None:
    """Accepts one connection and prints the bytes and the seconds from the first of them to the last."""
    with socket.create_server((address, port)) as server:
        print(json.dumps({"listens": True}), flush=True)
        connection, _ = server.accept()
        received = len(connection.recv(len(_CHUNK)))
        begun = time.monotonic()
        while data := connection.recv(len(_CHUNK)):
            received += len(data)
        print(json.dumps({"bytes": received, "seconds": time.monotonic() - begun}), flush=True)


def send(address: str, port: int, seconds: float) -> None:
    with socket.create_connection((address, port), timeout=seconds + 5) as connection:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            connection.sendall(_CHUNK)


if __name__ == "__main__":
    verb, to, number, *rest = sys.argv[1:]
    take(to, int(number)) if verb == "take" else send(to, int(number), float(rest[0]))
