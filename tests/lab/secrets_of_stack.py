"""The stack's secrets in plain text, to look for them where they must not be; never shown."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from components.route_agent import agent_key
from lab import headscale
from lab.engine_cli import Cli, environment
from tests.lab.stand import STACK, Json, Stand

SECRET_MARK = "4dabf18193072939515e22adb298388d"


@dataclass(frozen=True)
class Secret:
    """`what` may be shown; the value may lie in the files whose path in the lab's folder ends so."""

    what: str
    value: str
    may_be_in: tuple[str, ...] = ()


def secrets_of(stand: Stand) -> list[Secret]:
    export = Cli.found().run(
        ["stack", "export", "--show-secrets", "--stack", STACK],
        str(stand.files.project_dir),
        environment(stand.files, "lab"),
    )
    resources = json.loads(export.stdout)["deployment"]["resources"]
    found = [Secret("the tailnet's API key", headscale.ensure(), ("headscale/api_key",))]
    for resource in resources:
        found += _of(resource["urn"].rsplit("::", 1)[-1], resource)
    kinds = {secret.what.partition(" of ")[0] for secret in found}
    wanted = {"the seed", "the tailnet key", "the bootstrap token", "the operator's client key"}
    assert wanted <= kinds, f"the state has no {wanted - kinds}: this test looks in the wrong place"
    return found


def _of(name: str, resource: Json) -> Iterator[Secret]:
    outputs = resource.get("outputs") or {}
    if name == "secret-seed":
        seed = json.loads(_plain(outputs["stdout"]))["seed"]
        yield Secret("the seed", seed)
        keys = tuple(f"lxc/gpu-{letter}/delta/etc/tailspan/agent/key" for letter in "abc")
        yield Secret("the heartbeat key of gpu", agent_key(seed, "gpu"), keys)
        # In the cloud region it is a Secret, which the kubelet keeps in memory.
        yield Secret("the heartbeat key of hub", agent_key(seed, "hub"))
    elif resource["type"] == "tailscale:index/tailnetKey:TailnetKey":
        yield Secret(f"the tailnet key of {name}", _plain(outputs["key"]))
    elif name.endswith("-join"):
        token = json.loads(_plain(resource["inputs"]["stdin"]))["token"]
        machine = name.removesuffix("-join")
        kubeconfig = f"lxc/{machine}/delta/etc/kubernetes/bootstrap-kubelet.conf"
        if token:
            yield Secret(f"the bootstrap token of {machine}", token.partition(".")[2], (kubeconfig,))
    elif resource["type"] == "pulumi:pulumi:Stack":
        encoded = yaml.safe_load(_plain(outputs["kubeconfig"]))["users"][0]["user"]["client-key-data"]
        places = ("lab/kubeconfig", "hub-cp-1/delta/etc/kubernetes/admin.conf")
        yield Secret("the operator's client key", encoded, places)
        # Any one line of the PEM gives it away.
        line = base64.b64decode(encoded).decode().splitlines()[1]
        yield Secret("the operator's client key, decoded", line)


def _plain(value: Any) -> str:
    assert value.get(SECRET_MARK), "a secret is not marked as one"
    return str(json.loads(value["plaintext"]))
