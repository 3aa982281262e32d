"""Only the exact certificate request of the expected machine is approved."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ops.csr import Sender, objections

NODE, TOKEN_ID = "gpu-a", "abc123"
OURS = Sender(f"system:bootstrap:{TOKEN_ID}")
Name = list[tuple[x509.ObjectIdentifier, str]]
GOOD: Name = [(NameOID.ORGANIZATION_NAME, "system:nodes"), (NameOID.COMMON_NAME, f"system:node:{NODE}")]
USAGES = ["digital signature", "client auth"]


def pkcs10(name: Name, *extensions: x509.ExtensionType) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(oid, value) for oid, value in name])
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    csr = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM)


def request(pem: bytes | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "csr-1"},
        "spec": {
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "username": f"system:bootstrap:{TOKEN_ID}",
            "groups": ["system:bootstrappers", "system:bootstrappers:tailspan", "system:authenticated"],
            "usages": USAGES,
            "request": base64.b64encode(pkcs10(GOOD) if pem is None else pem).decode(),
            **spec,
        },
    }


@pytest.mark.parametrize("usages", [USAGES, ["client auth"], [*USAGES, "key encipherment"]])
def test_what_a_kubelet_sends_is_approved(usages: list[str]) -> None:
    assert objections(request(usages=usages), NODE, OURS) == []


def test_the_order_of_the_subject_does_not_matter() -> None:
    assert objections(request(pkcs10(GOOD[::-1])), NODE, OURS) == []


@pytest.mark.parametrize(
    ("pem", "says"),
    [
        (pkcs10([GOOD[0], (NameOID.COMMON_NAME, "system:node:hub-gw-1")]), "CN=system:node:hub-gw-1"),
        (pkcs10([GOOD[0], (NameOID.COMMON_NAME, "system:node:gpu-a2")]), "CN=system:node:gpu-a2"),
        (pkcs10([*GOOD, (NameOID.ORGANIZATION_NAME, "system:masters")]), "system:masters"),
        (pkcs10([*GOOD, GOOD[0]]), "subject"),
        (pkcs10([GOOD[1]]), "subject"),
        (pkcs10([(NameOID.ORGANIZATION_NAME, "system:masters"), GOOD[1]]), "system:masters"),
        (pkcs10([*GOOD, (NameOID.ORGANIZATIONAL_UNIT_NAME, "x")]), "OU=x"),
        (pkcs10([*GOOD, (NameOID.COMMON_NAME, "kubernetes-admin")]), "kubernetes-admin"),
        (pkcs10([]), "subject"),
        (pkcs10(GOOD, x509.SubjectAlternativeName([x509.DNSName("kubernetes")])), "subjectAltName"),
        (pkcs10(GOOD, x509.BasicConstraints(ca=True, path_length=None)), "basicConstraints"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "readable"),
        (b"", "readable"),
    ],
)
def test_any_other_certificate_is_refused(pem: bytes, says: str) -> None:
    (found,) = objections(request(pem), NODE, OURS)
    assert says in found


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"username": "system:bootstrap:zzzzzz"}, "system:bootstrap:zzzzzz"),
        ({"username": "system:node:gpu-a"}, "system:node:gpu-a"),
        ({"signerName": "kubernetes.io/kube-apiserver-client"}, "signer"),
        ({"signerName": "kubernetes.io/kubelet-serving"}, "signer"),
        ({"usages": [*USAGES, "server auth"]}, "server auth"),
        ({"usages": ["digital signature"]}, "usages"),
        ({"usages": []}, "usages"),
        ({"request": "not base64!"}, "readable"),
    ],
)
def test_any_other_sender_signer_or_usage_is_refused(spec: dict[str, Any], says: str) -> None:
    (found,) = objections(request(**spec), NODE, OURS)
    assert says in found


def test_a_request_signed_by_another_key_is_refused() -> None:
    der = bytearray(x509.load_pem_x509_csr(pkcs10(GOOD)).public_bytes(serialization.Encoding.DER))
    at = bytes(der).index(b"system:node:gpu-a")
    der[at : at + 17] = b"system:node:gpu-b"
    body = base64.b64encode(bytes(der))
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"\n-----END CERTIFICATE REQUEST-----\n"
    assert any("own key" in found for found in objections(request(pem), "gpu-b", OURS))


def test_every_objection_is_named_at_once() -> None:
    wrong = request(pkcs10([GOOD[1]]), username="x", signerName="y", usages=["any"])
    assert len(objections(wrong, NODE, OURS)) == 4


ACCOUNT = Sender("system:serviceaccount:tailspan-admission:gpu-a", "uid-of-today")


def test_a_request_by_a_machines_own_service_account_is_approved() -> None:
    assert objections(request(username=ACCOUNT.user, uid=ACCOUNT.uid), NODE, ACCOUNT) == []


@pytest.mark.parametrize(
    ("username", "uid"),
    [
        (ACCOUNT.user, "uid-of-yesterday"),
        (ACCOUNT.user, ""),
        ("system:serviceaccount:tailspan-admission:gpu-b", ACCOUNT.uid),
        ("system:serviceaccount:default:gpu-a", ACCOUNT.uid),
        (f"system:bootstrap:{TOKEN_ID}", ACCOUNT.uid),
    ],
)
def test_another_account_is_refused_also_one_of_the_same_name(username: str, uid: str) -> None:
    (found,) = objections(request(username=username, uid=uid), NODE, ACCOUNT)
    assert "uid-of-today" in found
