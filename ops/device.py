"""Deletes a machine's device from the tailnet: one that stays behind keeps its prefixes and black-holes them.

A device goes only if its own host name is exactly the machine's AND it carries one of this product's tags.
Names that the control server makes up for duplicates (`gpu-a-1`) are never compared: the host name has no
such suffix, so a machine's second device is found, and that of a machine that is really called `gpu-a-1`
is not. The tag keeps a colleague's laptop of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from ops.errors import HttpError, OpsError
from ops.http import Json, JsonClient, trusting_also
from ops.wait import Deadline, until_answered

TAG_PREFIX = "tag:tailspan-"
TAILSCALE_API = "https://api.tailscale.com"


@dataclass(frozen=True, kw_only=True)
class Tailnet:
    """Where a tailnet's devices are managed."""

    kind: str
    url: str | None
    api_key: str
    ca: str | None = None
    tailnet: str | None = None


@dataclass(frozen=True, kw_only=True)
class Device:
    id: str
    hostname: str
    tags: tuple[str, ...]


def delete_devices(tailnet: Tailnet, hostname: str, *, timeout: float = 60) -> list[str]:
    """Deletes every device of that machine and returns their ids; none is fine."""
    what = f"tailnet device {hostname}"
    deadline = Deadline(timeout)
    client, listing, item = _api(tailnet)
    found = until_answered(lambda: client.request("GET", listing), deadline, f"{what}: list devices")
    ids = [device.id for device in _devices(tailnet.kind, found) if is_machine(device, hostname)]
    for identifier in ids:
        remove = partial(_delete, client, f"{item}/{quote(identifier, safe='')}")
        until_answered(remove, deadline, f"{what}: delete {identifier}")
    return ids


def is_machine(device: Device, hostname: str) -> bool:
    # Host names are compared as DNS does: a client may report `GPU-A`.
    same = device.hostname.lower() == hostname.lower()
    return same and any(tag.startswith(TAG_PREFIX) for tag in device.tags)


def _api(tailnet: Tailnet) -> tuple[JsonClient, str, str]:
    headers = {"Authorization": f"Bearer {tailnet.api_key}"}
    if tailnet.kind == "headscale":
        if not tailnet.url:
            raise OpsError("device.tailnet.url is missing; write the headscale's address")
        return JsonClient(tailnet.url, trusting_also(tailnet.ca), headers), "/api/v1/node", "/api/v1/node"
    if tailnet.kind == "tailscale":
        client = JsonClient(tailnet.url or TAILSCALE_API, trusting_also(tailnet.ca), headers)
        # "-" is the tailnet that the key belongs to.
        return client, f"/api/v2/tailnet/{quote(tailnet.tailnet or '-', safe='')}/devices", "/api/v2/device"
    raise OpsError(f"device.tailnet.kind: got {tailnet.kind!r}; write tailscale or headscale")


def _devices(kind: str, answer: Json) -> list[Device]:
    # Both have a made-up name too (givenName; name): it is not read.
    entries, hostname = ("nodes", "name") if kind == "headscale" else ("devices", "hostname")
    return [
        Device(
            id=str(entry.get("nodeId") or entry["id"]),
            hostname=entry.get(hostname) or "",
            tags=tuple(entry.get("tags") or ()),
        )
        for entry in answer.get(entries) or []
    ]


def _delete(client: JsonClient, path: str) -> None:
    try:
        client.request("DELETE", path)
    except HttpError as error:
        if error.status != 404:
            raise
