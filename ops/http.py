"""JSON over HTTPS with the standard library.

Importing the official Kubernetes client takes half a CPU second, and a stack with many machines starts many
of these processes at once; it is used only where a kubeconfig needs it (ops/kube.py).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from ops.errors import HttpError, OpsError, Unreachable

Json = dict[str, Any]
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


def trusting_only(ca_pem: str | None, client_pem: str | None, *, verify: bool) -> ssl.SSLContext:
    """A context for an API server: its own authority or, without one, the system's."""
    context = ssl.create_default_context(cadata=ca_pem)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_pem:
        _load_client_certificate(context, client_pem)
    return context


def trusting_also(ca_pem: str | None) -> ssl.SSLContext:
    """A context for a control server: the system's authorities and, for a private headscale, its own."""
    context = ssl.create_default_context()
    if ca_pem:
        context.load_verify_locations(cadata=ca_pem)
    return context


def _load_client_certificate(context: ssl.SSLContext, pem: str) -> None:
    """OpenSSL reads client keys from files only: one in memory, so that no key reaches a disk."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("client", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, pem.encode())
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)


class JsonClient:
    """One kept-alive connection to one server."""

    def __init__(
        self,
        base: str,
        context: ssl.SSLContext,
        headers: Mapping[str, str],
        *,
        server_name: str | None = None,
        timeout: float = 15,
    ) -> None:
        url = urlsplit(base)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"server address: got {base!r}; write a URL such as https://198.51.100.2")
        for name, value in headers.items():
            # Or http.client would show it in the exception that it raises.
            if not (value.isascii() and value.isprintable()):
                raise OpsError(
                    f"{base}: the value for header {name} holds a line break or another character that no key has; "
                    "set the key anew"
                )
        self.base = base.rstrip("/")
        self._url, self._context, self._headers = url, context, dict(headers)
        self._server_name, self._timeout = server_name, timeout
        self._connection: http.client.HTTPConnection | None = None
        self.server_time: datetime = datetime.now(UTC)
        self._retry_after: float | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = JSON,
    ) -> Json:
        target = self._url.path.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        headers = self._headers | {"Accept": JSON}
        if body is not None:
            headers["Content-Type"] = content_type
        payload = None if body is None else json.dumps(body).encode()
        status, text = self._exchange(method, target, payload, headers)
        if status >= 400:
            said = f"{method} {self.base}{path}: HTTP {status}: {_message(text)}"
            raise HttpError(status, said, self._retry_after)
        try:
            parsed = json.loads(text or "{}")
        except ValueError:
            raise HttpError(status, f"{method} {self.base}{path}: not JSON: {text[:120]!r}") from None
        return parsed if isinstance(parsed, dict) else {"items": parsed}

    def _exchange(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str]:
        # A server may close an idle connection at any moment: a reused one gets a second chance.
        for reused in (True, False) if self._connection else (False,):
            try:
                connection = self._connection or self._connect()
                connection.request(method, target, body=body, headers=headers)
                response = connection.getresponse()
                text = response.read().decode("utf-8", "replace")
                self._note_time(response.getheader("Date"))
                self._retry_after = _seconds(response.getheader("Retry-After"))
                if response.will_close:
                    self.close()
                return response.status, text
            except ssl.SSLCertVerificationError as error:
                # Waiting cures no wrong certificate.
                self.close()
                raise OpsError(
                    f"{self.base}: {error.verify_message}; give the authority that signed it"
                ) from error
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if not reused:
                    reason = str(error) or type(error).__name__
                    raise Unreachable(f"{method} {self.base}{target.split('?')[0]}: {reason}") from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "http":
            self._connection = http.client.HTTPConnection(host, port, timeout=self._timeout)
            return self._connection
        connection = _NamedHTTPSConnection(host, port, timeout=self._timeout, context=self._context)
        connection.server_name = self._server_name
        self._connection = connection
        return connection

    def _note_time(self, date: str | None) -> None:
        if date:
            with contextlib.suppress(ValueError):
                self.server_time = parsedate_to_datetime(date)

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


class _NamedHTTPSConnection(http.client.HTTPSConnection):
    """HTTPS to one address whose certificate carries another name (kubeconfig `tls-server-name`)."""

    server_name: str | None = None

    def connect(self) -> None:
        if not self.server_name:
            super().connect()
            return
        http.client.HTTPConnection.connect(self)
        context: ssl.SSLContext = self._context  # type: ignore[attr-defined]  # set by HTTPSConnection, absent in its stub
        self.sock = context.wrap_socket(self.sock, server_hostname=self.server_name)


def _seconds(header: str | None) -> float | None:
    """Retry-After as seconds; its other form, a date, is rare and not read."""
    return float(header) if header and header.isdecimal() else None


def _message(text: str) -> str:
    """The sentence inside an error body; API servers wrap it in JSON."""
    try:
        parsed = json.loads(text)
    except ValueError:
        return text.strip()[:300] or "empty answer"
    message = parsed.get("message") if isinstance(parsed, dict) else None
    return str(message or text)[:300]
