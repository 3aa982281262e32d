"""SSH connections of pulumi-command: host keys compared, keys from the agent and never in state."""

from __future__ import annotations

from pulumi_command.remote import ConnectionArgs, ProxyConnectionArgs

from providers.base import Login

# A machine that was just created boots; one that is dead must be named before anybody loses patience.
DIAL_ATTEMPTS = 20
DIAL_SECONDS = 5


def connection(login: Login) -> ConnectionArgs:
    """Connection arguments for a login, through its jump host if it has one."""
    jump = login.jump
    proxy = None
    if jump:
        proxy = ProxyConnectionArgs(
            host=jump.host,
            port=jump.port,
            user=jump.user,
            host_key=jump.host_key,
            dial_error_limit=DIAL_ATTEMPTS,
            per_dial_timeout=DIAL_SECONDS,
        )
    return ConnectionArgs(
        host=login.host,
        port=login.port,
        user=login.user,
        host_key=login.host_key,
        proxy=proxy,
        dial_error_limit=DIAL_ATTEMPTS,
        per_dial_timeout=DIAL_SECONDS,
    )


def as_root(user: str, verb: str) -> str:
    """The command that runs a node script from standard input; arguments hold no secret."""
    sudo = "" if user == "root" else "sudo -n "
    return f"{sudo}/bin/bash -s -- {verb}"
