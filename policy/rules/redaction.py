"""No secret in a message: messages are printed in the logs of CI and in comments of pull requests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property

from .inputs import Props, is_secret, leaves

HIDDEN = "[secret]"

# Shapes that are secret wherever they stand: keys of Tailscale (tailscale.com/kb/1085) and headscale, bootstrap
# tokens (kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens), private keys.
_SHAPES = re.compile(
    r"\b[th]skey-[a-z]+-[\w-]+"
    r"|\b[a-z0-9]{6}\.[a-z0-9]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.|\n)*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
# What keys look like inside a longer secret text, such as a node's script, whose other words (a range, an option) a
# message may well need.
_KEY = re.compile(r"(?=\S*[a-z])(?=\S*[A-Z])(?=\S*\d)\S{12,}|[0-9a-f]{20,}")
# A shorter secret is as likely a word of the message.
_LEAST_LENGTH = 6


class Redaction:
    """Takes the secrets of some resources out of messages; it looks for them when there is a message at all."""

    def __init__(self, inputs: Iterable[Props]) -> None:
        self._inputs = inputs

    def clean(self, message: str) -> str:
        for secret in self._secrets:
            message = message.replace(secret, HIDDEN)
        return _SHAPES.sub(HIDDEN, message)

    @cached_property
    def _secrets(self) -> list[str]:
        """Longest first: one may contain another."""
        found: set[str] = set()
        for props in self._inputs:
            for value in leaves(props):
                if is_secret(value):
                    found |= _parts(str(value))
        return sorted(found, key=lambda text: (-len(text), text))


def _parts(secret: str) -> set[str]:
    """A secret as a whole, and the keys that a rule that takes it apart (a manifest, a script) might quote of it."""
    words = {word for word in re.split(r"[\s'\",;=:]+", secret) if _KEY.fullmatch(word)}
    return {part for part in {secret.strip()} | words if len(part) >= _LEAST_LENGTH}
