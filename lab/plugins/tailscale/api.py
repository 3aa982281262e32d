"""headscale's REST API: one request, errors in headscale's own words."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lab.plugins.base import Call, PluginError

if TYPE_CHECKING:
    import ssl
    from urllib.error import HTTPError

CA_VARIABLES = ("TAILSPAN_TAILNET_CA_FILE", "SSL_CERT_FILE")
TRIES = 5
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 15.0


class ApiError(PluginError):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def request(call: Call, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    # Not at the top: a preview asks nobody, and loading these is a third of the plugin's start.
    import ssl
    import urllib.error
    import urllib.request

    base, key = str(call.config.get("baseUrl") or "").rstrip("/"), str(call.config.get("apiKey") or "")
    if not base or not key:
        raise PluginError("provider tailscale: needs baseUrl (the control server) and apiKey")
    message = urllib.request.Request(
        f"{base}/api/v1/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_tls_context())
    )
    for attempt in range(1, TRIES + 1):
        try:
            with opener.open(message, timeout=TIMEOUT_SECONDS) as response:
                return dict(json.loads(response.read() or b"{}"))
        except urllib.error.HTTPError as problem:
            raise _refused(problem, method, path) from None
        except OSError as problem:
            reason = getattr(problem, "reason", problem)
            # A certificate that is not trusted now will not be trusted in a second.
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise PluginError(
                    f"control server {base}: its certificate is not trusted ({reason.verify_message}); "
                    f"set {CA_VARIABLES[0]} to its CA's PEM file"
                ) from None
            if attempt == TRIES or call.cancelled.wait(PAUSE_SECONDS):
                raise PluginError(
                    f"control server {base}: not reachable ({attempt} tries): {reason}"
                ) from None
    raise AssertionError("the loop returns or raises")


def _tls_context() -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context()
    for name in CA_VARIABLES:
        if os.environ.get(name):
            context.load_verify_locations(os.environ[name])
    return context


def _refused(problem: HTTPError, method: str, path: str) -> ApiError:
    text = problem.read().decode(errors="replace").strip()
    with suppress(ValueError, AttributeError):
        text = str(json.loads(text).get("message") or text)
    if problem.code in (401, 403):
        text = f"the API key is not accepted: {text or problem.reason}"
    return ApiError(f"control server: {method} {path}: {text or problem.reason}", problem.code)
