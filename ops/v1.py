"""Version 1 of the command line that Pulumi stores in its state: verbs, their input and their output.

A delete runs the command and the input that were stored at create, perhaps a year ago: keys may be added here
and must then be optional, none may change its meaning, unknown ones are ignored.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from ops.device import Tailnet, delete_devices
from ops.drain import leave as leave_cluster
from ops.drain import refusal
from ops.errors import OpsError
from ops.http import Json
from ops.join import join as join_cluster
from ops.kube import Kube, credentials
from ops.node import CONTROL_PLANE, NodeSpec

TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")


def secret(_: Json) -> Json:
    """A seed for a machine's secrets."""
    return {"seed": secrets.token_hex(32)}


def join(request: Json) -> Json:
    node = _node(request)
    join_cluster(_kube(request), node, _token(request), _ready_timeout(request))
    # A wiped machine comes back as another device; the old one would keep prefixes that nobody serves.
    if device := request.get("device"):
        for former in _field(device, "replaces", list, [], path="device."):
            _delete_devices(device, str(former))
    # The same text for the same input: Pulumi compares it, and nobody must see a change where there is none.
    return {"node": node.name, "pod_cidr": node.pod_cidr, "provider_id": node.provider_id}


def leave(request: Json) -> Json:
    node = _node(request)
    if CONTROL_PLANE in node.labels:
        raise OpsError(refusal(node.name))
    api_timeout = float(_field(request, "api_timeout", (int, float), 60))
    drain_timeout = float(_field(request, "drain_timeout", (int, float), 180))
    deleted = leave_cluster(_kube(request), node.name, api_timeout=api_timeout, drain_timeout=drain_timeout)
    device = request.get("device")
    return {
        "node": node.name,
        "deleted": deleted,
        "devices": _delete_devices(device, _hostname(device)) if device else [],
    }


def device_delete(request: Json) -> Json:
    """Of a device's description, or of the request that a machine joined with."""
    device = request.get("device") or request
    return {"devices": _delete_devices(device, _hostname(device))}


VERBS: Mapping[str, Callable[[Json], Json]] = {
    "secret": secret,
    "join": join,
    "update": join,
    "leave": leave,
    "device-delete": device_delete,
}
WITHOUT_INPUT = frozenset({"secret"})


def _kube(request: Json) -> Kube:
    return Kube(credentials(_field(request, "kubeconfig", str)))


def _token(request: Json) -> str | None:
    """None for a control plane machine: kubeadm made its node, all that is left is to declare and to wait."""
    token: str | None = _field(request, "token", str, None)
    if token is not None and not TOKEN.fullmatch(token):
        raise OpsError("token: not a bootstrap token; write 6 characters, a dot and 16, all of a-z0-9")
    return token


def _ready_timeout(request: Json) -> float:
    return float(_field(request, "ready_timeout", (int, float), 300))


def _node(request: Json) -> NodeSpec:
    node = _field(request, "node", dict)
    return NodeSpec(
        name=_field(node, "name", str, path="node."),
        pod_cidr=_field(node, "pod_cidr", str, path="node."),
        provider_id=_field(node, "provider_id", str, "", path="node."),
        labels=_field(node, "labels", dict, {}, path="node."),
        taints=tuple(_taint(taint) for taint in _field(node, "taints", list, [], path="node.")),
    )


def _taint(taint: Json) -> dict[str, str]:
    if not isinstance(taint, dict) or not {"key", "effect"} <= set(taint):
        raise OpsError(f"node.taints: got {taint!r}; write key, effect and, if there is one, value")
    value = {"value": str(taint["value"])} if taint.get("value") else {}
    return {"key": str(taint["key"]), **value, "effect": str(taint["effect"])}


def _hostname(device: Json) -> str:
    name: str = _field(device, "hostname", str, path="device.")
    return name


def _delete_devices(device: Json, hostname: str) -> list[str]:
    tailnet = _field(device, "tailnet", dict, path="device.")
    return delete_devices(
        Tailnet(
            kind=_field(tailnet, "kind", str, path="device.tailnet."),
            url=tailnet.get("url"),
            api_key=_field(tailnet, "api_key", str, path="device.tailnet."),
            ca=tailnet.get("ca"),
            tailnet=tailnet.get("tailnet"),
        ),
        hostname,
    )


_MISSING = object()


def _field(
    document: Json, key: str, kind: type | tuple[type, ...], default: object = _MISSING, *, path: str = ""
) -> Any:
    value = document.get(key, default)
    if value is _MISSING:
        raise OpsError(f"stdin: {path}{key} is missing")
    if value is None and default is not _MISSING:
        return default
    if not isinstance(value, kind):
        # The value is not shown: it may be a secret in the wrong place.
        raise OpsError(f"stdin: {path}{key} is a {type(value).__name__}, which is not what is written there")
    return value
