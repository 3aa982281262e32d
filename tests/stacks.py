"""Stack files for tests: the committed ones, and small edits of the dev stack."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from config.problems import stack_problems
from config.schema import StackConfig

ROOT = Path(__file__).resolve().parent.parent
STACK_FILES = (ROOT / "Pulumi.dev.yaml", *sorted((ROOT / "examples").glob("Pulumi.*.yaml")))
HOST_KEY = "ssh-ed25519 " + "A" * 68


@cache
def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())["config"]["tailspan:stack"]
    return content


def stack_data(path: Path = STACK_FILES[0]) -> dict[str, Any]:
    """A stack file's `tailspan:stack`, free to be edited."""
    return copy.deepcopy(_read(path))


def put(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Writes at a dotted path such as `regions.1.node_cidr`; an Ellipsis removes the key."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    target: Any = data
    value = copy.deepcopy(value)
    for part in parents:
        target = target[part]
    if value is ...:
        del target[last]
    elif isinstance(target, list) and last == len(target):
        target.append(value)
    else:
        target[last] = value
    return data


def stack(*edits: tuple[str, Any]) -> StackConfig:
    """The dev stack with edits, as a valid model."""
    data = stack_data()
    for path, value in edits:
        put(data, path, value)
    return StackConfig.model_validate(data)


def complaints(*edits: tuple[str, Any]) -> str:
    """What the schema says about the dev stack with edits."""
    data = stack_data()
    for path, value in edits:
        put(data, path, value)
    return "\n".join(stack_problems(data, "Pulumi.dev.yaml")[1])


def ssh_region(**changes: Any) -> dict[str, Any]:
    """A GPU region of machines that exist already."""
    region = {
        "name": "tx",
        "kind": "gpu",
        "provider": {"kind": "ssh", "lan": "l2"},
        "node_cidr": "10.3.0.0/24",
        "pod_cidr": "10.131.0.0/16",
        "cni": "plain",
        "machines": [
            {
                "name": "tx-a",
                "node_ip": "10.3.0.10",
                "address": "198.51.100.7",
                "host_key": HOST_KEY,
                "gateway": True,
            },
            {"name": "tx-b", "node_ip": "10.3.0.11", "jump": "tx-a", "host_key": HOST_KEY},
        ],
    }
    return region | changes
