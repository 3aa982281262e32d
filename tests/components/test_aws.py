"""A region at Amazon: its graph, what its groups let in, what a change replaces, and what cannot be lost by mistake."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from agent.config import CloudRoutes, parse
from config.schema import StackConfig
from network.plan import plan_network
from policy.rules import RULES
from tests.components.deploy import SEED, deployed
from tests.components.judged import resources_of
from tests.components.recording import Recording, Resource
from tests.components.test_graph import differences
from tests.policy.judge import judge
from tests.stacks import ROOT, put, stack_data

EXAMPLE = ROOT / "examples" / "Pulumi.aws-kubeadm.yaml"
SSH = ("tcp", 22.0, 22.0, "192.0.2.10/32")
API = ("tcp", 6443.0, 6443.0, "192.0.2.10/32")
WIREGUARD = ("udp", 41641.0, 41641.0, "0.0.0.0/0")
VPC = {
    "id": "vpc-0a1b2c3d4e5f60718",
    "cidr": "10.4.0.0/16",
    "subnet": "subnet-0a1b2c3d4e5f60718",
    "route_tables": ["rtb-0a1b2c3d4e5f60718", "rtb-1a1b2c3d4e5f60718"],
}
# GPU machines in a VPC that is there already, in another of Amazon's regions.
CAVE = {
    "name": "cave",
    "kind": "gpu",
    "provider": {
        "kind": "aws",
        "region": "us-west-2",
        "zone": "us-west-2b",
        "ami": "ami-0ffffffffffffffff",
        "vpc": VPC,
    },
    "node_cidr": "10.4.0.0/24",
    "pod_cidr": "10.132.0.0/16",
    "cni": "plain",
    "gateway_firewall": [{"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}],
    "machines": [
        {
            "name": "cave-a",
            "node_ip": "10.4.0.10",
            "gateway": True,
            "machine_type": "p5.48xlarge",
            "gpu": {"type": "H100", "count": 8},
        },
        {"name": "cave-b", "node_ip": "10.4.0.11", "gateway": True},
        {
            "name": "cave-c",
            "node_ip": "10.4.0.12",
            "machine_type": "g6.xlarge",
            "gpu": {"type": "L4", "count": 1},
        },
    ],
}


def example(*edits: tuple[str, Any]) -> StackConfig:
    data = stack_data(EXAMPLE)
    for path, value in edits:
        put(data, path, value)
    return StackConfig.model_validate(data)


def caves(*edits: tuple[str, Any]) -> StackConfig:
    return example(("regions.2", CAVE), *edits)


STACKS = {
    "the example": example(),
    "two of Amazon's regions": caves(),
    "every machine a device": example(("regions.0.mode", "per-node"), ("regions.0.gateways", ...)),
}
every_stack = pytest.mark.parametrize("config", STACKS.values(), ids=list(STACKS))
IN_AMAZON = {"hub", "cave"}


def instances(recording: Recording) -> dict[str, Resource]:
    return recording.of("ec2/instance:Instance")


def groups_of(instance: Resource) -> list[str]:
    """The security groups of a machine, by name."""
    return [str(one).removesuffix("-id") for one in instance.inputs["vpcSecurityGroupIds"]]


def openings(recording: Recording, group: str) -> set[tuple[Any, ...]]:
    """What a group lets in: protocol, ports and source."""
    return {
        tuple(rule.inputs.get(key) for key in ("ipProtocol", "fromPort", "toPort", "cidrIpv4"))
        for rule in recording.of("SecurityGroupIngressRule").values()
        if rule.inputs["securityGroupId"] == f"{group}-id"
    }


def routed(recording: Recording) -> set[tuple[str, str, str]]:
    return {
        (
            route.inputs["routeTableId"],
            route.inputs["destinationCidrBlock"],
            route.inputs["networkInterfaceId"],
        )
        for route in recording.of("ec2/route:Route").values()
        if "networkInterfaceId" in route.inputs
    }


def test_the_example_has_these_resources(snapshot: SnapshotAssertion) -> None:
    resources = deployed(example()).resources.values()
    assert snapshot == sorted(f"{item.type} {item.name} (in {item.parent})" for item in resources)


@every_stack
@pytest.mark.parametrize("preview", [True, False], ids=["first preview", "later"])
def test_every_policy_passes(config: StackConfig, preview: bool) -> None:
    resources = resources_of(deployed(config, preview=preview))
    said = {rule.name: judge(rule, *resources) for rule in RULES}
    assert {rule: messages for rule, messages in said.items() if messages} == {}


def test_policies_see_a_gateway_that_is_closed_or_does_not_forward() -> None:
    """The control: the rules find the gateways' groups and interfaces."""
    resources = resources_of(deployed(example(("regions.0.gateway_firewall", []))))
    said = [message for rule in RULES for message in judge(rule, *resources)]
    assert any("gateway hub-gw-2: UDP 41641 is not open" in message for message in said)


@every_stack
def test_a_preview_shows_what_the_update_makes(config: StackConfig) -> None:
    preview, update = deployed(config, preview=True), deployed(config)
    assert preview.resources.keys() == update.resources.keys()
    for name, resource in update.resources.items():
        assert (preview[name].type, preview[name].provider, preview[name].protect) == (
            resource.type,
            resource.provider,
            resource.protect,
        )
    assert (update.warnings, update.calls, preview.warnings, preview.calls) == ([], [], [], [])


@every_stack
def test_each_region_of_amazon_has_one_provider_of_its_own(config: StackConfig) -> None:
    recording = deployed(config)
    for item in recording.resources.values():
        if item.type.startswith("aws:"):
            provider = recording[item.provider]
            assert provider.type == "pulumi:providers:aws"
            place = "us-west-2" if item.name.startswith("cave") else "us-east-1"
            assert provider.inputs["region"] == place
            assert "accessKey" not in provider.inputs
            assert "secretKey" not in provider.inputs


@every_stack
def test_machines_have_their_planned_address_and_forward_what_is_not_theirs(config: StackConfig) -> None:
    recording = deployed(config)
    planned = {
        node.name: str(node.node_ip)
        for region in plan_network(config).regions
        if region.name in IN_AMAZON
        for node in region.nodes
    }
    found = {name: one.inputs["privateIp"] for name, one in instances(recording).items()}
    assert found == planned
    assert all(one.inputs["sourceDestCheck"] is False for one in instances(recording).values())
    # An interface beside its instance would have the check turned on again (providers/aws/machines.py).
    assert not recording.of("ec2/networkInterface:NetworkInterface")
    assert all("primaryNetworkInterface" not in one.inputs for one in instances(recording).values())


@every_stack
def test_gateways_and_the_control_plane_have_addresses_that_stay(config: StackConfig) -> None:
    recording = deployed(config)
    addressed = {address.inputs["instance"] for address in recording.of("ec2/eip:Eip").values()}
    regions = [region for region in plan_network(config).regions if region.name in IN_AMAZON]
    fixed = [node.name for region in regions for node in (*region.control_plane, *region.gateways)]
    assert addressed == {f"{name}-id" for name in fixed}
    for name, instance in instances(recording).items():
        assert (instance.inputs.get("associatePublicIpAddress") is True) is (name not in fixed)


def test_an_address_waits_for_the_way_out_and_goes_before_it() -> None:
    recording = deployed(example())
    for name in ("hub-gw-1-address", "hub-cpu-1"):
        assert {"hub-internet", "hub-default-route", "hub-routes-subnet"} <= recording.before(name)


@pytest.mark.parametrize(
    ("machine", "group", "stated"),
    [
        ("hub-cp-1", "hub-control-plane-firewall", {SSH, API}),
        ("hub-gw-1", "hub-gateways-firewall", {SSH, WIREGUARD}),
        ("hub-gw-2", "hub-gateways-firewall", {SSH, WIREGUARD}),
        ("hub-cpu-1", "hub-workers-firewall", {SSH}),
        ("cave-a", "cave-gateways-firewall", {SSH, WIREGUARD}),
        ("cave-c", "cave-workers-firewall", {SSH}),
    ],
)
def test_a_group_opens_what_is_stated_and_to_the_clusters_ranges_everything(
    machine: str, group: str, stated: set[tuple[Any, ...]]
) -> None:
    """The only source that is not named in the stack file is that of WireGuard, which is: everybody."""
    recording = deployed(caves())
    ranges = {
        ("-1", None, None, str(cidr))
        for region in plan_network(caves()).regions
        for cidr in (region.node_cidr, region.pod_cidr)
    }
    assert groups_of(recording[machine]) == [group]
    assert openings(recording, group) == stated | ranges


def test_machines_that_are_devices_take_nothing_from_a_lan_that_may_be_shared() -> None:
    recording = deployed(STACKS["every machine a device"])
    for name in instances(recording):
        for group in groups_of(recording[name]):
            assert openings(recording, group)
            assert "-1" not in {opening[0] for opening in openings(recording, group)}


def test_a_private_api_server_is_not_opened() -> None:
    recording = deployed(example(("access.api", "tailnet")))
    assert API not in openings(recording, "hub-control-plane-firewall")


def test_what_leaves_is_said_rule_by_rule() -> None:
    recording = deployed(caves())
    groups = set(recording.of("SecurityGroup"))
    out = recording.of("SecurityGroupEgressRule").values()
    assert {rule.inputs["securityGroupId"] for rule in out} == {f"{group}-id" for group in groups}
    for group in groups:
        assert "ingress" not in recording[group].inputs
        assert "egress" not in recording[group].inputs


def test_every_range_elsewhere_has_a_route_in_every_table_to_the_first_gateway() -> None:
    """And a VPC that is there already gets nothing but those."""
    recording = deployed(caves())
    remote = {
        "hub": {"10.3.0.0/24", "10.131.0.0/16", "10.4.0.0/24", "10.132.0.0/16"},
        "cave": {"10.0.0.0/24", "10.128.0.0/16", "10.3.0.0/24", "10.131.0.0/16"},
    }
    tables = {"hub": ["hub-routes-id"], "cave": VPC["route_tables"]}
    gateway = {"hub": "eni-of-hub-gw-1", "cave": "eni-of-cave-a"}
    assert routed(recording) == {
        (table, cidr, gateway[region])
        for region, cidrs in remote.items()
        for table in tables[region]
        for cidr in cidrs
    }
    inside = {recording[name].type for name in recording.below("cave")}
    assert inside.isdisjoint(
        {"aws:ec2/vpc:Vpc", "aws:ec2/subnet:Subnet", "aws:ec2/routeTable:RouteTable"}
        | {"aws:ec2/internetGateway:InternetGateway"}
    )
    assert recording["cave-a"].inputs["subnetId"] == VPC["subnet"]
    assert recording["cave-gateways-firewall"].inputs["vpcId"] == VPC["id"]


def test_an_update_leaves_a_route_where_a_gateway_took_it() -> None:
    recording = deployed(caves())
    for route in recording.of("ec2/route:Route").values():
        moves = "networkInterfaceId" in route.inputs
        assert list(route.request.ignoreChanges) == (["networkInterfaceId"] if moves else [])


def test_gateways_may_move_their_tables_routes_and_change_nothing_else() -> None:
    recording = deployed(caves())
    tables = {
        "hub": ["arn:aws:ec2:us-east-1:123456789012:route-table/hub-routes-id"],
        "cave": [f"arn:aws:ec2:us-west-2:*:route-table/{table}" for table in sorted(VPC["route_tables"])],
    }
    for region, arns in tables.items():
        document = json.loads(recording[f"{region}-gateways-policy"].value("policy"))
        reads, writes = document["Statement"]
        assert all(action.startswith("ec2:Describe") for action in reads["Action"])
        assert (writes["Action"], writes["Resource"]) == ("ec2:ReplaceRoute", arns)
    profiles = {
        name: instance.inputs["iamInstanceProfile"]
        for name, instance in instances(recording).items()
        if "iamInstanceProfile" in instance.inputs
    }
    assert profiles.keys() == {"hub-gw-1", "hub-gw-2", "cave-a", "cave-b"}


def test_one_gateway_alone_gets_no_rights_and_its_routes_are_looked_after() -> None:
    recording = deployed(example(("regions.0.gateways.count", 1)))
    assert not [item for item in recording.resources.values() if item.type.startswith("aws:iam/")]
    assert all("iamInstanceProfile" not in item.inputs for item in instances(recording).values())
    assert all(not route.request.ignoreChanges for route in recording.of("ec2/route:Route").values())


def test_what_holds_etcd_cannot_be_lost_by_mistake() -> None:
    recording = deployed(caves())
    machine = recording["hub-cp-1"]
    assert machine.inputs["disableApiTermination"] is True
    assert machine.inputs["rootBlockDevice"]["deleteOnTermination"] is False
    protected = {name for name, item in recording.resources.items() if item.protect}
    assert protected >= {"hub-cp-1", "hub-cp-1-address", "host-key-seed"}
    for name, instance in instances(recording).items():
        assert instance.inputs["rootBlockDevice"]["encrypted"] is True
        assert (name in protected) is (name == "hub-cp-1")
        assert instance.inputs["disableApiTermination"] is (name == "hub-cp-1")


def test_pods_get_no_answer_from_the_metadata_service() -> None:
    for instance in instances(deployed(caves())).values():
        assert instance.inputs["metadataOptions"] == {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1.0,
        }


def test_a_machine_boots_with_the_host_key_that_its_login_expects() -> None:
    recording = deployed(example())
    document = yaml.safe_load(recording["hub-gw-1"].secret("userData"))
    connection: Mapping[str, Any] = recording["hub-gw-1-bootstrap"].secret("connection")
    assert document["ssh_keys"]["ed25519_public"] == connection["hostKey"]
    assert connection["user"] == "ops"
    assert SEED not in json.dumps(document)
    assert list(recording["hub-gw-1"].request.additionalSecretOutputs) == ["userData"]


def test_a_group_says_where_each_of_its_machines_is_reached() -> None:
    recording = deployed(example())
    request = json.loads(recording["hub-cpu-join"].secret("stdin"))
    keys = {name: machine["host"]["host_key"] for name, machine in request["machines"].items()}
    assert keys.keys() == {"hub-cpu-1", "hub-cpu-2"}
    assert len(set(keys.values())) == 2
    assert all(machine["host"]["ssh_host"] == "198.51.100.12" for machine in request["machines"].values())
    # Drained before it goes: what retires nodes comes before the machines, what joins them after.
    assert "hub-cpu-retire" in recording["hub-cpu-2"].dependencies
    assert {"hub-cpu-1", "hub-cpu-2"} <= recording.before("hub-cpu-join")


def test_a_machine_more_in_a_group_makes_that_one() -> None:
    before, after = deployed(example()), deployed(example(("regions.0.node_groups.0.count", 3)))
    assert after.resources.keys() - before.resources.keys() == {"hub-cpu-3"}
    touched = {name for name in differences(before, after) if before[name].type.startswith("aws:")}
    assert touched == set()


def test_a_new_generation_makes_that_machine_anew_and_no_other() -> None:
    before, after = deployed(caves()), deployed(caves(("regions.2.machines.2.generation", 2)))
    touched = {name for name in differences(before, after) if before[name].type.startswith("aws:")}
    assert touched == {"cave-c"}
    trigger = {name: item.request.replacement_trigger for name, item in instances(after).items()}
    assert {name for name, value in trigger.items() if value.number_value != 1} == {"cave-c"}
    assert before["cave-c"].secret("userData") != after["cave-c"].secret("userData")
    assert all(item.request.deleteBeforeReplace for item in instances(after).values())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("regions.0.provider.ami", "ami-00000000000000001"),
        ("access.ssh.authorized_keys", ["ssh-ed25519 " + "B" * 68]),
    ],
)
def test_what_a_first_boot_reads_changes_no_machine_that_runs(path: str, value: Any) -> None:
    """The engine leaves those inputs out when it compares; nothing else may differ."""
    before, after = deployed(example()), deployed(example((path, value)))
    for name, instance in instances(after).items():
        ignored = set(instance.request.ignoreChanges)
        assert {"ami", "userData"} <= ignored
        was, now = before[name].inputs, instance.inputs
        assert {key: was[key] for key in was if key not in ignored} == {
            key: now[key] for key in now if key not in ignored
        }


def test_default_machine_types_go_by_role_and_can_be_written() -> None:
    recording = deployed(caves())
    types = {name: instance.inputs["instanceType"] for name, instance in instances(recording).items()}
    assert types == {
        "hub-cp-1": "m6i.large",
        "hub-gw-1": "c6in.large",
        "hub-gw-2": "c6in.large",
        "hub-cpu-1": "m6i.xlarge",
        "hub-cpu-2": "m6i.xlarge",
        "cave-a": "p5.48xlarge",
        "cave-b": "c6in.large",
        "cave-c": "g6.xlarge",
    }


def agent_file(recording: Recording, region: str) -> dict[str, Any]:
    """What the agents of a cloud region's gateways read."""
    found: dict[str, Any] = json.loads(
        recording[f"{region}-gateway-agent-files"].inputs["data"]["config.json"]
    )
    return found


def test_the_agents_of_gateways_are_told_which_tables_are_theirs() -> None:
    recording = deployed(caves())
    told = agent_file(recording, "hub")
    assert told["cloud_routes"] == {"kind": "aws", "tables": [], "tag": ["tailspan:region", "hub"]}
    assert recording["hub-routes"].inputs["tags"]["tailspan:region"] == "hub"
    mine = told | {"role": "gateway", "name": "hub-gw-2", "node_ip": "10.0.0.21", "pods": "10.128.21.0/24"}
    parsed = parse(mine, b"k" * 32)
    assert parsed.cloud_routes == CloudRoutes(tables=(), tag=("tailspan:region", "hub"))
    # In a VPC of somebody else's nothing has a tag of ours.
    script = recording["cave-b-bootstrap"].secret("stdin")
    assert all(table in script for table in VPC["route_tables"])


def test_where_the_cloud_needs_no_help_the_agents_are_told_nothing_new() -> None:
    assert "cloud_routes" not in agent_file(deployed(example(("regions.0.gateways.count", 1))), "hub")
    rack = deployed(example())["rack-a-bootstrap"].secret("stdin")
    assert "cloud_routes" not in rack
