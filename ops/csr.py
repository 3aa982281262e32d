"""Decides whether a certificate request is exactly the one that a machine we expect would send.

The built-in approver would give any bootstrap token holder the certificate of any node; here the name, the
sender and every part of the request must be the planned ones. Whatever is not expected is refused, also if it
looks harmless.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from ops.http import Json
from ops.kube import CLIENT_SIGNER

REQUIRED_USAGE = "client auth"
ALLOWED_USAGES = frozenset({REQUIRED_USAGE, "digital signature", "key encipherment"})


@dataclass(frozen=True)
class Sender:
    """Who asks: a user of the cluster, and where names are used again, which of those who had the name."""

    user: str
    uid: str = ""

    def sent(self, request: Json) -> bool:
        spec = request.get("spec", {})
        return spec.get("username") == self.user and (not self.uid or spec.get("uid") == self.uid)

    def __str__(self) -> str:
        return f"{self.user!r} ({self.uid})" if self.uid else repr(self.user)


def objections(request: Json, node: str, sender: Sender) -> list[str]:
    """Every reason not to approve; an empty list means: exactly what `node` asks for with its own token."""
    spec = request.get("spec", {})
    found = []
    if spec.get("signerName") != CLIENT_SIGNER:
        found.append(f"signer {spec.get('signerName')!r} instead of {CLIENT_SIGNER!r}")
    if not sender.sent(request):
        found.append(
            f"user {Sender(str(spec.get('username')), str(spec.get('uid') or ''))} instead of {sender}"
        )
    usages = set(spec.get("usages") or ())
    if REQUIRED_USAGE not in usages or not usages <= ALLOWED_USAGES:
        found.append(f"usages {sorted(usages)} instead of {sorted(ALLOWED_USAGES)}")
    return found + _certificate_objections(str(spec.get("request") or ""), node)


def _certificate_objections(encoded: str, node: str) -> list[str]:
    try:
        csr = _parse(encoded)
        signed = csr.is_signature_valid
    except (ValueError, InvalidSignature) as error:
        return [f"not a readable PKCS#10 request: {error}"]
    found = [] if signed else ["not signed by its own key"]
    wanted = {(NameOID.ORGANIZATION_NAME, "system:nodes"), (NameOID.COMMON_NAME, f"system:node:{node}")}
    parts = [(part.oid, part.value) for part in csr.subject]
    if set(parts) != wanted or len(parts) != len(wanted):
        got = csr.subject.rfc4514_string()
        found.append(f"subject {got!r} instead of 'CN=system:node:{node},O=system:nodes'")
    # A kubelet's client request carries none: alternative names would let it pose as a server.
    if len(csr.extensions):
        found.append("extensions " + ", ".join(extension.oid._name for extension in csr.extensions))
    return found


def _parse(encoded: str) -> x509.CertificateSigningRequest:
    try:
        return x509.load_pem_x509_csr(base64.b64decode(encoded, validate=True))
    except binascii.Error as error:
        raise ValueError(str(error)) from error
