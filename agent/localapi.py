"""tailscaled's LocalAPI over its socket: what this device advertises, and who owns what in the tailnet.

Requests run in a thread, because http.client waits; paths and fields: tailscale.com ipn/localapi and ipn/ipnstate.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# How long a peer has to answer when the way to it is looked for, seconds.
SEEK_TIMEOUT = 1.0
TIMEOUT = 2.0
# LocalAPI refuses requests that a web page could make: safesocket/localclient names this host.
HOST = "local-tailscaled.sock"


class LocalApiError(OSError):
    """tailscaled does not answer, or not with success."""


@dataclass(frozen=True)
class Device:
    """A device of the tailnet: its IPv4 addresses in it, and the prefixes that it owns there."""

    name: str
    addresses: tuple[str, ...]
    routes: frozenset[str]
    online: bool = False


@dataclass(frozen=True)
class Tailnet:
    """What tailscaled knows at a moment. `running`: it is logged in and has a network map."""

    running: bool
    me: Device
    peers: tuple[Device, ...]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__(HOST, timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class LocalApi:
    """One tailscaled. Every method raises LocalApiError."""

    def __init__(self, path: str) -> None:
        self._path = path

    def tailnet(self) -> Tailnet:
        """The device's view of the tailnet."""
        status = self._request("GET", "/localapi/v0/status")
        return Tailnet(
            running=status.get("BackendState") == "Running",
            me=_device(status.get("Self") or {}),
            peers=tuple(_device(peer) for peer in (status.get("Peer") or {}).values()),
        )

    def advertised(self) -> tuple[str, ...]:
        """The prefixes that this device advertises, as its preferences hold them."""
        return tuple(self._request("GET", "/localapi/v0/prefs").get("AdvertiseRoutes") or ())

    def advertise(self, routes: Iterable[str]) -> None:
        """Advertise exactly these."""
        body = {"AdvertiseRoutes": sorted(routes), "AdvertiseRoutesSet": True}
        self._request("PATCH", "/localapi/v0/prefs", json.dumps(body).encode())

    def seek(self, address: str) -> bool:
        """Look for the way to a peer, by its tailnet address, and wait a moment for its answer; was there one?"""
        path = f"/localapi/v0/ping?ip={address}&type=disco"
        return not self._request("POST", path, timeout=SEEK_TIMEOUT).get("Err")

    def _request(
        self, method: str, path: str, body: bytes | None = None, timeout: float = TIMEOUT
    ) -> dict[str, Any]:
        connection = _Connection(self._path, timeout)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise LocalApiError(f"{self._path}: {method} {path}: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise LocalApiError(f"{self._path}: {method} {path}: {answer.status} {content[:200]!r}")
        try:
            found = json.loads(content or b"{}")
        except ValueError as error:
            raise LocalApiError(f"{self._path}: {method} {path}: {error}") from error
        return found if isinstance(found, dict) else {}


def _device(entry: dict[str, Any]) -> Device:
    return Device(
        name=str(entry.get("HostName", "")),
        addresses=tuple(one for one in entry.get("TailscaleIPs") or () if "." in one),
        routes=frozenset(entry.get("PrimaryRoutes") or ()),
        online=bool(entry.get("Online")),
    )
