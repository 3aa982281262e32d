"""Sockets of another network namespace: a socket stays where it was made, so one process can hold those of all pods."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable

_CLONE_NEWNET = 0x40000000


def in_namespace(path: str, make: Callable[[], socket.socket]) -> socket.socket:
    """What `make` returns when it runs inside the namespace; the thread that entered it ends."""
    made: list[socket.socket | OSError] = []

    def enter() -> None:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns to {path}")
            made.append(make())
        except OSError as problem:
            made.append(problem)
        finally:
            os.close(handle)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    result = made[0]
    if isinstance(result, OSError):
        raise result
    return result


def bound(kind: socket.SocketKind, address: tuple[str, int]) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(address)
    made.setblocking(False)
    return made
