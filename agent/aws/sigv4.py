"""Signature Version 4 of requests to Amazon (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html)."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Credentials:
    """A role's, for some hours; `expires` in seconds of the Unix epoch."""

    key: str
    secret: str = field(repr=False)
    token: str = field(repr=False, default="")
    expires: float = float("inf")


@dataclass(frozen=True)
class Request:
    """What is signed: everything that is sent, but for the headers that the signature adds."""

    method: str
    host: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    path: str = "/"


def signed_headers(
    request: Request, credentials: Credentials, region: str, service: str, now: float
) -> dict[str, str]:
    """The request's headers with date, token and signature."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = {name.lower(): " ".join(value.split()) for name, value in request.headers.items()}
    headers |= {"host": request.host, "x-amz-date": moment}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(headers))
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    canonical = "\n".join(
        (
            request.method,
            request.path,
            "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sorted(request.query.items())),
            *(f"{name}:{headers[name]}" for name in sorted(headers)),
            "",
            names,
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    to_sign = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    credential = f"{_ALGORITHM} Credential={credentials.key}/{scope}"
    return headers | {"authorization": f"{credential}, SignedHeaders={names}, Signature={signature}"}


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")
