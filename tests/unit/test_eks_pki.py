"""The CA of machines outside AWS: the same text each time, and certificates that name exactly one machine."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from providers.eks_pki import authority, node_certificate

SEED, OTHER = "5eed" * 16, "feed" * 16


def test_the_same_seed_makes_the_same_text() -> None:
    assert authority(SEED) == authority(SEED)
    assert node_certificate(SEED, "tx-a", 1) == node_certificate(SEED, "tx-a", 1)
    assert authority(SEED) != authority(OTHER)


def test_the_authority_may_sign_and_nothing_below_it_may() -> None:
    ca = x509.load_pem_x509_certificate(authority(SEED).encode())
    node = x509.load_pem_x509_certificate(node_certificate(SEED, "tx-a", 1).certificate.encode())
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not node.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert node.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    node.verify_directly_issued_by(ca)
    ca.verify_directly_issued_by(ca)


def test_a_certificate_names_its_machine_and_fits_its_key() -> None:
    made = node_certificate(SEED, "tx-a", 1)
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    (name,) = certificate.subject
    assert (name.oid, name.value) == (NameOID.COMMON_NAME, "tx-a")
    key = load_pem_private_key(made.key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == certificate.public_key()


@pytest.mark.parametrize(
    ("seed", "node", "generation"), [(OTHER, "tx-a", 1), (SEED, "tx-b", 1), (SEED, "tx-a", 2)]
)
def test_another_seed_machine_or_generation_has_another_key(seed: str, node: str, generation: int) -> None:
    first, second = node_certificate(SEED, "tx-a", 1), node_certificate(seed, node, generation)
    assert first.key != second.key
    serials = [
        x509.load_pem_x509_certificate(made.certificate.encode()).serial_number for made in (first, second)
    ]
    assert serials[0] != serials[1]


def test_a_certificate_of_another_authority_is_not_this_ones() -> None:
    ca = x509.load_pem_x509_certificate(authority(OTHER).encode())
    node = x509.load_pem_x509_certificate(node_certificate(SEED, "tx-a", 1).certificate.encode())
    with pytest.raises(InvalidSignature):
        node.verify_directly_issued_by(ca)
