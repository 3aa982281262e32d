"""SSH connections of pulumi-command: host keys compared, keys from the agent and never in state."""

from __future__ import annotations

from typing import Any

from providers.base import Login

# A machine that was just created boots; one that is dead must be named before anybody loses patience.
DIAL_ATTEMPTS = 20
DIAL_SECONDS = 5


def connection(login: Login) -> dict[str, Any]:
    """A command's connection for a login, through its jump host if it has one."""
    hop = {
        "host": login.host,
        "port": login.port,
        "user": login.user,
        "hostKey": login.host_key,
        "dialErrorLimit": DIAL_ATTEMPTS,
        "perDialTimeout": DIAL_SECONDS,
    }
    return hop | ({"proxy": connection(login.jump)} if login.jump else {})


def as_root(user: str, verb: str) -> str:
    """The command that runs a node script from standard input; arguments hold no secret."""
    sudo = "" if user == "root" else "sudo -n "
    return f"{sudo}/bin/bash -s -- {verb}"
