"""Two regions more, by YAML alone, on a running stack; and their way out. One is behind a gateway, one per-node."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab import cloud, lxc, net
from tests.lab import guest, witness
from tests.lab.lan import Lan
from tests.lab.stand import (
    FIGURES,
    MACHINES,
    Json,
    Ran,
    Stand,
    all_ready,
    console,
    nodes,
    tailnet_devices,
    until,
    untouched,
)
from tests.stacks import ROOT, stack_data

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

WEST = ("west-a", "west-b")
SHARED = ("shared-a", "shared-b")
NEW = (*WEST, *SHARED)
# Of a region whose LAN strangers share, and of one that has its LAN for itself.
OPEN = Lan(region="gpu", nodes=IPv4Network("10.1.0.0/24"), pods=IPv4Network("10.129.0.0/16"))
FENCED = Lan(region="shared", nodes=IPv4Network("10.4.0.0/24"), pods=IPv4Network("10.132.0.0/16"))


def add_regions(stack: Json) -> None:
    for example in ("three", "per-node"):
        stack["regions"].append(stack_data(ROOT / "examples" / f"Pulumi.{example}.yaml")["regions"][-1])


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
    with dev.edited(add_regions):
        done = dev.up()
        FIGURES.append(f"two regions of two machines each join: {done.seconds:.0f} s")
        yield done


def test_they_join_and_touch_nothing_of_the_others(
    dev: Stand, joined: Ran, before: dict[str, object]
) -> None:
    until("their machines are Ready", lambda: all_ready([*MACHINES, *NEW]), 60)
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


def test_their_nodes_are_at_their_planned_addresses(joined: Ran) -> None:
    found = nodes()
    planned = {
        "west-a": ("10.2.0.10", "10.130.10.0/24"),
        "west-b": ("10.2.0.11", "10.130.11.0/24"),
        "shared-a": ("10.4.0.10", "10.132.10.0/24"),
        "shared-b": ("10.4.0.11", "10.132.11.0/24"),
    }
    for name, (address, pods) in planned.items():
        assert found[name]["status"]["addresses"][0]["address"] == address
        assert found[name]["spec"]["podCIDR"] == pods


def test_every_machine_of_the_per_node_region_is_a_device_that_advertises_itself(joined: Ran) -> None:
    devices = tailnet_devices()
    assert set(devices) & set(NEW) == {"west-a", *SHARED}
    assert {name: sorted(devices[name]["approved_routes"]) for name in SHARED} == {
        "shared-a": ["10.132.10.0/24", "10.4.0.10/32"],
        "shared-b": ["10.132.11.0/24", "10.4.0.11/32"],
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("west-b", "hub-cp-1"),
        ("west-a", "hub-gw-2"),
        ("west-b", "gpu-c"),
        ("west-a", "gpu-b"),
        ("west-a", "west-b"),
        ("shared-a", "shared-b"),
        ("shared-b", "hub-cp-1"),
        ("shared-a", "gpu-c"),
        ("shared-b", "west-b"),
    ],
)
def test_their_pods_and_those_of_the_others_see_true_addresses(joined: Ran, one: str, other: str) -> None:
    witness.sees(one, other)
    witness.sees(other, one)


KUBELET = "curl -sk -m2 -o /dev/null https://{}:10250/healthz && echo answered"


def answers(caller: str, address: str) -> bool:
    """Whether a machine itself, not a pod of it, is answered by the kubelet at an address."""
    return "answered" in console(caller, KUBELET.format(address), check=False)


def test_nothing_between_machines_of_the_per_node_region_is_in_plain_text(joined: Ran) -> None:
    with FENCED.watched() as lan:
        witness.sees("shared-a", "shared-b")
        assert answers("shared-a", "10.4.0.11")
        seen = lan.seen()
    assert seen.plain == 0
    assert seen.wireguard > 0
    # The same question on a LAN of our own, where the gateways' mode leaves it.
    with OPEN.watched() as lan:
        witness.sees("gpu-a", "gpu-c")
        assert answers("gpu-a", "10.1.0.12")
        assert lan.seen().plain > 0


def test_without_its_tunnel_a_machine_says_nothing_rather_than_say_it_in_plain_text(joined: Ran) -> None:
    """What a tailscaled that was stopped leaves: the LAN's own route to the neighbour."""
    with FENCED.watched() as lan:
        console("shared-a", "ip route del 10.4.0.11 dev tailscale0 table 52")
        try:
            assert not answers("shared-a", "10.4.0.11")
        finally:
            console("shared-a", "ip route replace 10.4.0.11 dev tailscale0 table 52")
        assert lan.seen().plain == 0
    assert answers("shared-a", "10.4.0.11")


def test_a_stranger_on_the_lan_reaches_neither_machines_nor_pods(joined: Ran) -> None:
    pods = {node: pod["status"]["podIP"] for node, pod in witness.pods().items()}
    for lan, node, address, reached in (
        (FENCED, "shared-a", "10.4.0.10", False),
        (OPEN, "gpu-c", "10.1.0.12", True),
    ):
        assert lan.stranger_asks(f"http://{pods[node]}:{witness.PORT}/clientip", address) is reached
        assert lan.stranger_asks(f"https://{address}:10250/healthz", address) is reached


@pytest.fixture(scope="module")
def guest_node(joined: Ran) -> str:
    guest.start("guest-of-west", "topology.kubernetes.io/region", "west")
    return until("the guest runs", lambda: guest.runs_on("guest-of-west"), 40)


@pytest.fixture(scope="module")
def removed(dev: Stand, joined: Ran, guest_node: str) -> Ran:
    """The blocks are out of the file again."""
    assert guest_node in WEST
    text = dev.stack_file.read_text()
    try:
        content = json.loads(json.dumps(_without_new(text)))
        dev.stack_file.write_text(json.dumps(content))
        done = dev.up()
    finally:
        dev.stack_file.write_text(text)
    FIGURES.append(f"two regions of two machines each leave: {done.seconds:.0f} s")
    return done


def _without_new(text: str) -> Json:
    import yaml

    content: Json = yaml.safe_load(text)
    regions = content["config"]["tailspan:stack"]["regions"]
    content["config"]["tailspan:stack"]["regions"] = [
        region for region in regions if region["name"] not in ("west", "shared")
    ]
    return content


def test_removed_they_leave_nothing_behind(removed: Ran, before: dict[str, object]) -> None:
    assert sorted(nodes()) == sorted(MACHINES)
    assert sorted(tailnet_devices()) == before["devices"]
    assert sorted(machine.name for machine in cloud.list_machines()) == sorted(MACHINES)
    assert not [name for name in NEW if Path(lxc.folder(name)).exists()]
    assert not net.namespace_exists("tsl-west")
    assert not net.namespace_exists("tsl-shared")


def test_their_guests_were_moved_before_they_went(removed: Ran) -> None:
    assert until("the guest runs elsewhere", lambda: guest.runs_on("guest-of-west"), 30) in MACHINES


def test_their_removal_touches_nothing_of_the_others(
    dev: Stand, removed: Ran, before: dict[str, object]
) -> None:
    assert inputs(dev) == before["inputs"]
    assert set(dev.changes()) <= {"delete", "update"}, dev.changes()
    assert _updated(removed.text) <= {"tailnet-policy", "addresses", "tailspan-dev"}, removed.tail
    assert others() == before["machines"]
    begun = time.monotonic()
    witness.sees("gpu-c", "hub-gw-1")
    assert time.monotonic() - begun < 20
