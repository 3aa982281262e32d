"""Certificates by which machines outside AWS prove to IAM who they are: a small CA, made from a secret of the stack.

IAM Roles Anywhere trusts a CA and gives whoever has a certificate of it an hour's credentials
(https://docs.aws.amazon.com/rolesanywhere/latest/userguide/trust-model.html). Made from the stack's seed and with
signatures that are the same each time (RFC 6979), the CA and each certificate are the same text in every preview; no
machine's key says anything of another's.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

# The order of the group of P-256 (SEC 2, section 2.4.2): a private key is a number below it, and not zero.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# Fixed, because a date of today would be another certificate tomorrow. Who leaves is shut out by his Node and role, and
# a stolen certificate by another `generation` of the machine and a new seed.
_FROM, _UNTIL = datetime(2026, 1, 1), datetime(2046, 1, 1)
_AUTHORITY = "tailspan"


@dataclass(frozen=True, kw_only=True)
class NodeCertificate:
    """PEM both; `key` is a secret."""

    certificate: str
    key: str


def authority(seed: str) -> str:
    """The CA's certificate, PEM; `seed` is 64 hex digits."""
    key = _key(seed, "ca")
    name = _name(_AUTHORITY)
    builder = (
        _builder(seed, "ca", name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pem(builder.sign(key, SHA256(), ecdsa_deterministic=True))


def node_certificate(seed: str, node: str, generation: int) -> NodeCertificate:
    """A machine's certificate; its common name is the node's, under which IAM lets it act and no other."""
    ca, key = _key(seed, "ca"), _key(seed, f"{node}/{generation}")
    builder = (
        _builder(seed, f"{node}/{generation}", _name(node))
        .issuer_name(_name(_AUTHORITY))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key()), critical=False)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return NodeCertificate(
        certificate=_pem(builder.sign(ca, SHA256(), ecdsa_deterministic=True)), key=private
    )


def _key(seed: str, owner: str) -> ec.EllipticCurvePrivateKey:
    # Half as long again as the order, so that no number is likelier than another (FIPS 186-5, A.2.1).
    text = b"".join(_digest(seed, f"eks-key/{owner}/{part}") for part in range(2))
    return ec.derive_private_key(int.from_bytes(text[:48], "big") % (_ORDER - 1) + 1, ec.SECP256R1())


def _builder(seed: str, owner: str, subject: x509.Name) -> x509.CertificateBuilder:
    # At most 20 octets, and positive (RFC 5280, section 4.1.2.2).
    serial = int.from_bytes(_digest(seed, f"eks-serial/{owner}")[:16], "big") | 1
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .serial_number(serial)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
    )


def _digest(seed: str, purpose: str) -> bytes:
    return hmac.new(bytes.fromhex(seed), purpose.encode(), hashlib.sha256).digest()


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, ca: bool) -> x509.KeyUsage:
    """What Roles Anywhere asks of a CA and of an end entity."""
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
