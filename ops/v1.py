"""Version 1 of the command line that Pulumi stores in its state: verbs, their input and their output.

A delete runs the command and the input that were stored at create, perhaps a year ago: keys may be added here
and must then be optional, none may change its meaning, unknown ones are ignored.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping

from ops import group as groups
from ops.admission import Pass, ServiceAccountToken, bootstrap_token
from ops.device import Tailnet, delete_devices
from ops.drain import leave as leave_cluster
from ops.drain import refusal
from ops.errors import OpsError
from ops.group import Group, Member
from ops.http import Json
from ops.join import join as join_cluster
from ops.kube import Credentials, Kube, credentials
from ops.node import CONTROL_PLANE, NodeSpec
from ops.rented import Opening, Seller, Wanted
from ops.rented import create as rent
from ops.rented import delete as give_back
from ops.rented import update as keep
from ops.request import field as _field
from ops.sellers import seller_of
from ops.ssh import Login
from ops.wait import Deadline

TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")


def secret(_: Json) -> Json:
    """A seed for a machine's secrets."""
    return {"seed": secrets.token_hex(32)}


def join(request: Json) -> Json:
    node = _node(request)
    join_cluster(_kube(request), node, _pass(request, node.name), _ready_timeout(request))
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
    deleted = leave_cluster(_kube(request), node.name, **_leaving(request))
    device = request.get("device")
    return {
        "node": node.name,
        "deleted": deleted,
        "devices": _delete_devices(device, _hostname(device)) if device else [],
    }


def device_keep(request: Json) -> Json:
    """Of a machine that is a device and no node: what it was before it was wiped is forgotten."""
    device = request.get("device") or request
    for former in _field(device, "replaces", list, [], path="device."):
        _delete_devices(device, str(former))
    return {"device": _hostname(device)}


def device_delete(request: Json) -> Json:
    """Of a device's description, or of the request that a machine joined with."""
    device = request.get("device") or request
    return {"devices": _delete_devices(device, _hostname(device))}


def group_retire(request: Json) -> Json:
    """Before the machines of a group become fewer: whoever is not wanted any more is drained and forgotten."""
    wanted = sorted(str(name) for name in _field(request, "wanted", list))
    groups.retire(_access(request), _group(request), wanted, **_leaving(request))
    return {"nodes": wanted}


def group_join(request: Json) -> Json:
    login = _field(request, "login", dict)
    groups.join_all(
        _access(request),
        _group(request),
        _members(request, _field(login, "user", str, path="login.")),
        _field(request, "script", str),
        _field(login, "command", str, path="login."),
        _ready_timeout(request),
    )
    return {"nodes": sorted(_field(request, "machines", dict))}


def group_leave(request: Json) -> Json:
    groups.retire(_access(request), _group(request), (), **_leaving(request))
    return {}


def group_forget(request: Json) -> Json:
    """After the machines are gone, if the group's last join had not gone well enough to be undone."""
    groups.forget(_access(request), _group(request), api_timeout=_leaving(request)["api_timeout"])
    return {}


def machine_create(request: Json) -> Json:
    """Rents a machine at the seller that the request names; one that is there already is not ordered again."""
    return rent(*_rented(request, 1800))


def machine_update(request: Json) -> Json:
    return keep(*_rented(request, 600))


def machine_delete(request: Json) -> Json:
    seller, deadline = _seller(request, 900)
    machine = _field(request, "machine", dict)
    name, tag = (str(_field(machine, key, str, path="machine.")) for key in ("name", "tag"))
    return give_back(seller, name, tag, deadline)


VERBS: Mapping[str, Callable[[Json], Json]] = {
    "secret": secret,
    "join": join,
    "update": join,
    "leave": leave,
    "device-delete": device_delete,
    "device-keep": device_keep,
    "group-retire": group_retire,
    "group-join": group_join,
    "group-leave": group_leave,
    "group-forget": group_forget,
    "machine-create": machine_create,
    "machine-update": machine_update,
    "machine-delete": machine_delete,
}
WITHOUT_INPUT = frozenset({"secret"})


def _access(request: Json) -> Credentials:
    return credentials(_field(request, "kubeconfig", str))


def _kube(request: Json) -> Kube:
    return Kube(_access(request))


def _leaving(request: Json) -> dict[str, float]:
    defaults = {"api_timeout": 60, "drain_timeout": 180}
    return {key: float(_field(request, key, (int, float), value)) for key, value in defaults.items()}


def _token(request: Json) -> str | None:
    """None for a control plane machine: kubeadm made its node, all that is left is to declare and to wait."""
    token: str | None = _field(request, "token", str, None)
    if token is not None and not TOKEN.fullmatch(token):
        raise OpsError("token: not a bootstrap token; write 6 characters, a dot and 16, all of a-z0-9")
    return token


def _pass(request: Json, node: str) -> Pass | None:
    """By its bootstrap token, or with `admission` by a ServiceAccount's: then the token's id is its mark alone."""
    token = _token(request)
    if token is None:
        return None
    admission = request.get("admission")
    if not admission:
        return bootstrap_token(node, token)
    path = "admission."
    login = _field(admission, "login", dict, path=path)
    return ServiceAccountToken(
        node=node,
        mark=token.partition(".")[0],
        namespace=_field(admission, "namespace", str, path=path),
        login=_login(login, "root", f"{path}login."),
        command=_field(admission, "command", str, path=path),
        script=_field(admission, "script", str, path=path),
    )


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


def _group(request: Json) -> Group:
    group = _field(request, "group", dict)
    return Group(
        region=_field(group, "region", str, path="group."),
        name=_field(group, "name", str, path="group."),
        parallel=_field(request, "parallel", int, 16),
    )


def _members(request: Json, user: str) -> list[Member]:
    """The machines of a group, by name; what all have in common stands once, beside them."""
    common = {key: request.get(key, default) for key, default in (("labels", {}), ("taints", []))}
    found = []
    for name, machine in sorted(_field(request, "machines", dict).items()):
        host = _field(machine, "host", dict, path=f"machines.{name}.")
        token = _token(machine)
        if token is None:
            raise OpsError(f"stdin: machines.{name}.token is missing")
        found.append(
            Member(
                node=_node({"node": {**common, **machine, "name": name}}),
                token=token,
                values=_field(machine, "values", dict, path=f"machines.{name}."),
                login=None if host.get("trouble") else _login(host, user, f"machines.{name}.host."),
                trouble=str(host.get("trouble") or ""),
            )
        )
    return found


def _login(host: Json, user: str, path: str) -> Login:
    jump = host.get("jump")
    return Login(
        host=_field(host, "ssh_host", str, path=path),
        port=int(_field(host, "ssh_port", (int, float), 22, path=path)),
        user=_field(host, "user", str, user, path=path),
        host_key=_field(host, "host_key", str, path=path),
        jump=_login(jump, user, f"{path}jump.") if jump else None,
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


def _seller(request: Json, seconds: float) -> tuple[Seller, Deadline]:
    deadline = Deadline(float(_field(request, "timeout", (int, float), seconds)))
    return seller_of(_field(request, "seller", str), request, deadline), deadline


def _rented(request: Json, seconds: float) -> tuple[Seller, Wanted, Deadline]:
    seller, deadline = _seller(request, seconds)
    machine = _field(request, "machine", dict)
    wanted = Wanted(
        name=_field(machine, "name", str, path="machine."),
        tag=_field(machine, "tag", str, path="machine."),
        machine_type=_field(machine, "machine_type", str, path="machine."),
        user_data=_field(machine, "user_data", str, path="machine."),
        openings=frozenset(_opening(rule) for rule in _field(machine, "openings", list, path="machine.")),
    )
    return seller, wanted, deadline


def _opening(rule: Json) -> Opening:
    if not isinstance(rule, dict) or not {"protocol", "port", "source"} <= set(rule):
        raise OpsError("stdin: machine.openings: each has protocol, port and source")
    return Opening(str(rule["protocol"]), int(rule["port"]), str(rule["source"]))
