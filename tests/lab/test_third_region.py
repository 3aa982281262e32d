"""A region more, by YAML alone, on a running stack; and its way out."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import cloud, lxc, net
from tests.lab import witness
from tests.lab.stand import (
    FIGURES,
    MACHINES,
    Json,
    Ran,
    Stand,
    all_ready,
    get,
    kubectl,
    nodes,
    tailnet_devices,
    until,
    untouched,
)
from tests.stacks import ROOT, stack_data

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

WEST = ("west-a", "west-b")
GUEST = "guest"


def add_west(stack: Json) -> None:
    stack["regions"].append(stack_data(ROOT / "examples" / "Pulumi.three.yaml")["regions"][-1])


def others() -> dict[str, tuple[str, str]]:
    """What a machine of the other regions would show if it were touched."""
    uids = {name: node["metadata"]["uid"] for name, node in nodes().items()}
    return {name: (uids[name], untouched(name)) for name in MACHINES}


def inputs(stand: Stand) -> dict[str, str]:
    return {
        # A secret is encrypted anew whenever the state is written; that it changed would show as an update.
        urn: re.sub(r'"ciphertext": "[^"]*"', "", json.dumps(resource.get("inputs"), sort_keys=True))
        for urn, resource in stand.resources().items()
        # The policy file and the address map are the stack's, not a region's.
        if resource["type"] not in ("tailscale:index/acl:Acl", "tailspan:components:AddressMap")
    }


@pytest.fixture(scope="module")
def before(dev: Stand) -> dict[str, object]:
    return {"machines": others(), "inputs": inputs(dev), "devices": sorted(tailnet_devices())}


@pytest.fixture(scope="module")
def joined(dev: Stand, before: dict[str, object]) -> Iterator[Ran]:
    with dev.edited(add_west):
        done = dev.up()
        FIGURES.append(f"a third region joins: {done.seconds:.0f} s")
        yield done


def test_it_joins_and_touches_nothing_of_the_others(
    dev: Stand, joined: Ran, before: dict[str, object]
) -> None:
    until("its machines are Ready", lambda: all_ready([*MACHINES, *WEST]), 60)
    # The engine may encrypt a secret anew, but what a resource is given is the same.
    known = before["inputs"]
    assert isinstance(known, dict)
    after = inputs(dev)
    assert {urn for urn in known if after.get(urn) != known[urn]} == set()
    assert set(dev.changes()) <= {"create", "update"}, dev.changes()
    assert _updated(joined.text) <= {"tailnet-policy", "addresses", "tailspan-dev"}, joined.tail
    assert others() == before["machines"]


def _updated(text: str) -> set[str]:
    lines = [line.split() for line in text.splitlines() if " ~ updated " in line]
    return {words[words.index("updated") + 2] for words in lines}


def test_its_nodes_are_at_their_planned_addresses(joined: Ran) -> None:
    found = nodes()
    addresses = {name: found[name]["status"]["addresses"][0]["address"] for name in WEST}
    assert addresses == {"west-a": "10.2.0.10", "west-b": "10.2.0.11"}
    assert {name: found[name]["spec"]["podCIDR"] for name in WEST} == {
        "west-a": "10.130.10.0/24",
        "west-b": "10.130.11.0/24",
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("west-b", "hub-cp-1"),
        ("west-a", "hub-gw-2"),
        ("west-b", "gpu-c"),
        ("west-a", "gpu-b"),
        ("west-a", "west-b"),
    ],
)
def test_its_pods_and_those_of_the_others_see_true_addresses(joined: Ran, one: str, other: str) -> None:
    witness.sees(one, other)
    witness.sees(other, one)


@pytest.fixture(scope="module")
def guest(joined: Ran) -> str:
    """A pod that would rather run in the region, and must be somewhere else after it."""
    preference = {"key": "topology.kubernetes.io/region", "operator": "In", "values": ["west"]}
    affinity = {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "preference": {"matchExpressions": [preference]}}
            ]
        }
    }
    container = {"name": GUEST, "image": witness.IMAGE, "imagePullPolicy": "IfNotPresent", "args": ["pause"]}
    labels = {"app": GUEST}
    pod = {"affinity": affinity, "containers": [container], "terminationGracePeriodSeconds": 1}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": GUEST, "namespace": witness.NAMESPACE},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(deployment))
    return until("the guest runs", lambda: guest_runs_on(), 40)


def guest_runs_on() -> str:
    pods = get("pods", "-n", witness.NAMESPACE, "-l", f"app={GUEST}")["items"]
    running = [
        pod
        for pod in pods
        if pod["status"]["phase"] == "Running" and not pod["metadata"].get("deletionTimestamp")
    ]
    return str(running[0]["spec"]["nodeName"]) if running else ""


@pytest.fixture(scope="module")
def removed(dev: Stand, joined: Ran, guest: str) -> Ran:
    """The block is out of the file again."""
    assert guest in WEST
    text = dev.stack_file.read_text()
    try:
        content = json.loads(json.dumps(_without_west(text)))
        dev.stack_file.write_text(json.dumps(content))
        done = dev.up()
    finally:
        dev.stack_file.write_text(text)
    FIGURES.append(f"a third region leaves: {done.seconds:.0f} s")
    return done


def _without_west(text: str) -> Json:
    import yaml

    content: Json = yaml.safe_load(text)
    regions = content["config"]["tailspan:stack"]["regions"]
    content["config"]["tailspan:stack"]["regions"] = [r for r in regions if r["name"] != "west"]
    return content


def test_removed_it_leaves_nothing_behind(removed: Ran, before: dict[str, object]) -> None:
    assert sorted(nodes()) == sorted(MACHINES)
    assert sorted(tailnet_devices()) == before["devices"]
    assert sorted(machine.name for machine in cloud.list_machines()) == sorted(MACHINES)
    assert not [name for name in WEST if Path(lxc.folder(name)).exists()]
    assert not net.namespace_exists("tsl-west")


def test_its_guests_were_moved_before_it_went(removed: Ran) -> None:
    assert until("the guest runs elsewhere", lambda: guest_runs_on(), 30) in MACHINES


def test_its_removal_touches_nothing_of_the_others(
    dev: Stand, removed: Ran, before: dict[str, object]
) -> None:
    assert inputs(dev) == before["inputs"]
    assert set(dev.changes()) <= {"delete", "update"}, dev.changes()
    assert _updated(removed.text) <= {"tailnet-policy", "addresses", "tailspan-dev"}, removed.tail
    assert others() == before["machines"]
    begun = time.monotonic()
    witness.sees("gpu-c", "hub-gw-1")
    assert time.monotonic() - begun < 20
