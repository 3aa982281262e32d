"""SSH host keys of machines that tailspan makes: the operator knows a machine before it boots.

Each key is made from the stack's seed and the machine's name and generation. So a preview asks nobody for it, a second
`up` makes the same one, and the key of one machine says nothing of another's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_TYPE = b"ssh-ed25519"
_BLOCK = 8


@dataclass(frozen=True, kw_only=True)
class HostKey:
    """A machine's key pair; `private` is a secret, in OpenSSH's own format."""

    private: str
    public: str


def host_key(seed: str, machine: str, generation: int = 1) -> HostKey:
    """
    The key pair of a machine; `seed` is 64 hex digits. The same seed, name and generation give the same text to the
    last byte: another text would be another machine.
    """
    secret = hmac.new(
        bytes.fromhex(seed), f"host-key/{machine}/{generation}".encode(), hashlib.sha256
    ).digest()
    public = (
        Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    )
    blob = _string(_TYPE) + _string(public)
    return HostKey(private=_openssh(secret, public, blob), public=f"ssh-ed25519 {_base64(blob)}")


def _openssh(secret: bytes, public: bytes, blob: bytes) -> str:
    """
    The unencrypted private key format of openssh/PROTOCOL.key. The cryptography library writes it too, with a random
    check number in it; here that number is made from the public key.
    """
    check = hashlib.sha256(public).digest()[:4]
    body = check * 2 + _string(_TYPE) + _string(public) + _string(secret + public) + _string(b"")
    body += bytes(range(1, -len(body) % _BLOCK + 1))
    none = _string(b"none")
    whole = (
        b"openssh-key-v1\0"
        + none
        + none
        + _string(b"")
        + struct.pack(">I", 1)
        + _string(blob)
        + _string(body)
    )
    text = _base64(whole)
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    return "\n".join(("-----BEGIN OPENSSH PRIVATE KEY-----", *lines, "-----END OPENSSH PRIVATE KEY-----", ""))


def _string(value: bytes) -> bytes:
    """RFC 4251, section 5."""
    return struct.pack(">I", len(value)) + value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
