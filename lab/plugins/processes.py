"""Child processes of a plugin, each in a group of its own: a cancelled or orphaned plugin ends them all."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import suppress
from typing import Any

_running: set[int] = set()
_lock = threading.Lock()


def start(argv: list[str], **options: Any) -> subprocess.Popen[str]:
    with _lock:
        child = subprocess.Popen(
            argv, start_new_session=True, text=True, encoding="utf-8", errors="replace", bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip
        _running.add(child.pid)
    return child


def ended(child: subprocess.Popen[str]) -> None:
    with _lock:
        _running.discard(child.pid)


def kill(child: subprocess.Popen[str]) -> None:
    _kill_group(child.pid)


def kill_all() -> None:
    with _lock:
        for pid in _running:
            _kill_group(pid)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
