"""A node group: the same resources whatever its count, undone in the opposite order, its secrets on standard input."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest
from syrupy.assertion import SnapshotAssertion

from components.nodes import bootstrap_token, node_labels
from network.plan import NodePlan, plan_network
from ops.v1 import TOKEN, VERBS, _group, _members
from providers.ssh import SshRegion
from tests.components.deploy import SEED, deployed
from tests.components.recording import Recording
from tests.components.stacks import dev, grouped

PARTS = {"hub-cpu", "hub-cpu-retire", "hub-cpu-machines", "hub-cpu-join"}


def nodes(count: int = 3) -> list[NodePlan]:
    return [node for node in plan_network(grouped(count)).hub.nodes if node.group]


def request(recording: Recording, command: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(recording[f"hub-cpu-{command}"].secret("stdin"))
    return found


def test_a_group_has_these_resources(snapshot: SnapshotAssertion) -> None:
    recording = deployed(grouped())
    inside = {name: recording[name] for name in PARTS}
    assert snapshot == sorted(f"{item.type} {item.name} (in {item.parent})" for item in inside.values())
    assert snapshot == {name: inside[name].inputs for name in ("hub-cpu", "hub-cpu-machines")}


@pytest.mark.parametrize("count", [1, 3, 100])
def test_a_group_has_as_many_resources_whatever_its_count(count: int) -> None:
    names = deployed(grouped(count)).resources.keys()
    assert names - deployed(dev()).resources.keys() == PARTS | {"hub-workers-firewall"}


def test_an_empty_group_has_none() -> None:
    assert deployed(grouped(0)).resources.keys() == deployed(dev()).resources.keys()


def test_nodes_leave_before_the_machines_change_and_join_after_it() -> None:
    recording = deployed(grouped())
    assert "hub-cpu-retire" in recording.before("hub-cpu-machines")
    assert {"hub-cpu-machines", "hub-cpu-retire"} <= recording.before("hub-cpu-join")
    assert {"tailspan-node-bootstrapper", "tailspan-node-renewal"} <= recording.before("hub-cpu-join")
    assert "hub-cp-1-bootstrap" in recording.before("hub-cpu-retire")


def test_the_regions_dns_waits_for_the_group_and_its_gateways_do_not() -> None:
    recording = deployed(grouped())
    assert "hub-cpu-join" in recording.before("hub-dns")
    assert "hub-cpu-join" not in recording.before("hub-subnet-router-daemonset")
    assert "hub-cpu-join" not in recording.before("gpu-a-join")


def test_what_the_state_stores_for_a_delete_is_the_versioned_entry_point() -> None:
    recording = deployed(grouped())
    verbs = {
        role: [recording[f"hub-cpu-{role}"].inputs[step] for step in ("create", "update", "delete")]
        for role in ("retire", "join")
    }
    entry = "python -m ops v1 group-"
    assert verbs == {
        "retire": [f"{entry}retire", f"{entry}retire", f"{entry}forget"],
        "join": [f"{entry}join", f"{entry}join", f"{entry}leave"],
    }
    assert {command.split()[-1] for commands in verbs.values() for command in commands} <= VERBS.keys()


def test_one_more_node_adds_no_resource_and_touches_no_other_group() -> None:
    before, after = deployed(grouped(3)), deployed(grouped(4))
    changed = {name for name, item in before.resources.items() if after.resources.get(name) != item}
    # On a shared LAN every machine of the region learns the new one's pod range.
    told = {"hub-gw-1-bootstrap", "hub-gw-2-bootstrap", "hub-cp-1-bootstrap"}
    assert changed == (PARTS | told)
    assert request(after, "retire")["wanted"] == [f"hub-cpu-{n}" for n in (1, 2, 3, 4)]


def test_ops_understands_what_the_program_writes() -> None:
    joining = request(deployed(grouped()), "join")
    members = _members(joining, joining["login"]["user"])
    assert str(_group(joining)) == "node group hub-cpu"
    for member, node in zip(members, nodes(), strict=True):
        assert (member.node.name, member.node.pod_cidr) == (node.name, str(node.pod_cidr))
        assert member.node.provider_id == f"lab://hub/{node.name}"
        assert member.node.labels.items() >= node_labels(node, plan_network(grouped()).hub).items()
        assert member.node.labels["node-restriction.kubernetes.io/tailspan-group"] == "cpu"
        assert member.token == bootstrap_token(SEED, node)
        assert TOKEN.fullmatch(member.token)
        assert member.login is not None
        assert (member.login.port, member.login.host_key) == (2201, f"ssh-ed25519 of-{node.name}")


def test_a_groups_script_is_kept_once_and_holds_no_machines_values() -> None:
    few, many = request(deployed(grouped(1)), "join"), request(deployed(grouped(100)), "join")
    assert len(json.dumps(many["machines"])) < 100 * 600
    for node in nodes(100):
        assert bootstrap_token(SEED, node) not in many["script"]
        assert f"--hostname-override={node.name}" not in many["script"]
    assert few.keys() == many.keys()


def test_machines_that_exist_already_make_no_group() -> None:
    with pytest.raises(ValueError, match="machines on ssh are listed by name; write them under machines"):
        SshRegion((), "root").machine_group("hub-cpu", nodes(), pulumi.ResourceOptions())
