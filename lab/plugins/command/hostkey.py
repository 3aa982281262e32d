"""Is the machine that answers the one the stack means?"""

from __future__ import annotations

import asyncssh

from lab.plugins.base import PluginError

RSA_SIGNATURES = ["rsa-sha2-256", "rsa-sha2-512"]


def expected_key(text: str | None, hop: str) -> asyncssh.SSHKey | None:
    if not text:
        return None
    try:
        return asyncssh.import_public_key(text.strip())
    except asyncssh.KeyImportError as problem:
        raise PluginError(
            f"hostKey of {hop}: not a public key ({problem}); "
            f'write it as in known_hosts, "ssh-ed25519 AAAA..."'
        ) from problem


class HostKeyCheck:
    """Compares the host key offered with the one expected; if none is, any will do (as officially)."""

    def __init__(self, hop: str, expected: asyncssh.SSHKey | None) -> None:
        self.hop, self.expected = hop, expected
        self.got: asyncssh.SSHKey | None = None

    @property
    def algorithms(self) -> list[str] | None:
        """Ask for the key that we can compare: a host has several."""
        if self.expected is None:
            return None
        name = self.expected.get_algorithm()
        return RSA_SIGNATURES if name == "ssh-rsa" else [name]

    def accepts(self, key: asyncssh.SSHKey) -> bool:
        self.got = key
        return self.expected is None or key.public_data == self.expected.public_data

    def client(self) -> asyncssh.SSHClient:
        check = self

        class Client(asyncssh.SSHClient):
            def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
                return check.accepts(key)

        return Client()

    def raise_if_refused(self) -> None:
        if self.got is not None and self.expected is not None and not self.accepts(self.got):
            raise PluginError(
                f"SSH: {self.hop} shows another host key than the stack expects; no secret was sent.\n"
                f"  got      {self.got.get_fingerprint()}\n"
                f"  expected {self.expected.get_fingerprint()}\n"
                f"If the machine was reinstalled on purpose, write its new key into the stack "
                f"(ssh-keyscan -t ed25519 HOST)."
            )
