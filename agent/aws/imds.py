"""The instance metadata service, version 2: who this instance is, and its role's credentials.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html; with a hop limit of 1 it answers
the host and pods on the host's network, as the agent is one.
"""

from __future__ import annotations

import calendar
import http.client
import json
import time
from dataclasses import dataclass

from agent.aws.sigv4 import Credentials

ADDRESS = "169.254.169.254:80"
TIMEOUT = 2.0
_TOKEN_SECONDS = 21600
# Credentials are asked for anew this long before they end: Amazon hands out new ones at least five minutes before.
_EARLY_SECONDS = 240.0
_LARGEST = 1 << 16


class ImdsError(OSError):
    """The service does not answer, or not with success."""


@dataclass(frozen=True)
class Place:
    """Where this instance is, and by which interface it is in its VPC."""

    region: str
    domain: str
    vpc: str
    interface: str


class Imds:
    """Every method raises ImdsError."""

    def __init__(self, address: str = ADDRESS) -> None:
        self._address = address
        self._token = ""
        self._token_until = 0.0
        self._place: Place | None = None
        self._credentials: Credentials | None = None

    def place(self) -> Place:
        """Never changes: another interface would be another instance."""
        if self._place is None:
            interface = f"network/interfaces/macs/{self._read('mac').rstrip('/')}"
            self._place = Place(
                region=self._read("placement/region"),
                domain=self._read("services/domain"),
                vpc=self._read(f"{interface}/vpc-id"),
                interface=self._read(f"{interface}/interface-id"),
            )
        return self._place

    def credentials(self) -> Credentials:
        """Those of the instance's role; kept until shortly before they end."""
        held = self._credentials
        if held is None or held.expires - time.time() < _EARLY_SECONDS:
            roles = self._read("iam/security-credentials/").split()
            if not roles:
                raise ImdsError("the instance has no role; give it an instance profile")
            held = self._credentials = _credentials(self._read(f"iam/security-credentials/{roles[0]}"))
        return held

    def forget(self) -> None:
        """The credentials were refused."""
        self._credentials = None

    def _read(self, path: str) -> str:
        if time.monotonic() >= self._token_until:
            ttl = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
            self._token = self._request("PUT", "/latest/api/token", ttl)
            self._token_until = time.monotonic() + _TOKEN_SECONDS / 2
        return self._request("GET", f"/latest/meta-data/{path}", {"X-aws-ec2-metadata-token": self._token})

    def _request(self, method: str, path: str, headers: dict[str, str]) -> str:
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            content = answer.read(_LARGEST)
        except (OSError, http.client.HTTPException) as error:
            raise ImdsError(f"metadata service: {method} {path}: {error}") from error
        finally:
            connection.close()
        if answer.status == 401:
            self._token_until = 0.0
        if answer.status != 200:
            raise ImdsError(f"metadata service: {method} {path}: {answer.status}")
        return content.decode(errors="replace")


def _credentials(text: str) -> Credentials:
    try:
        data = json.loads(text)
        return Credentials(
            key=str(data["AccessKeyId"]),
            secret=str(data["SecretAccessKey"]),
            token=str(data["Token"]),
            expires=float(calendar.timegm(time.strptime(data["Expiration"], "%Y-%m-%dT%H:%M:%SZ"))),
        )
    except (ValueError, KeyError, TypeError) as error:
        # The text itself is a secret.
        raise ImdsError(
            f"metadata service: credentials that cannot be read: {type(error).__name__}"
        ) from None
