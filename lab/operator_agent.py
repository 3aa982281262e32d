"""The operator's SSH key and the agent that holds it, so that no private key goes into a stack's state."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab import keys, processes
from lab.shell import LabError
from tools import paths

_STARTS_WITHIN = 10.0


def socket() -> Path:
    return paths.lab_dir() / "agent.sock"


def private_key() -> Path:
    return paths.lab_dir() / "ssh" / "id_ed25519"


def public_key() -> str:
    return private_key().with_suffix(".pub").read_text().strip()


def ensure() -> str:
    """An agent with the lab's key runs; returns the public key."""
    folder = private_key().parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    public = keys.ssh_key_pair(private_key())
    if processes.daemon("ssh-agent") is None:
        socket().unlink(missing_ok=True)
        log = folder / "agent.log"
        pid = processes.start_daemon(["ssh-agent", "-D", "-a", socket()], log)
        processes.wait_for("ssh-agent", log, lambda: _holds_key(public), within=_STARTS_WITHIN, pid=pid)
    elif not _holds_key(public):
        raise LabError(
            f"the lab's ssh-agent ({socket()}) does not take the lab's key: run `make down` and start again"
        )
    return public


def _holds_key(public: str) -> bool:
    if not socket().exists():
        return False
    _ssh_add("-q", str(private_key()))
    return public.split()[1] in _ssh_add("-L")


def _ssh_add(*words: str) -> str:
    env = os.environ | {"SSH_AUTH_SOCK": str(socket())}
    return subprocess.run(
        ["ssh-add", *words], env=env, capture_output=True, text=True, timeout=10, check=False
    ).stdout
