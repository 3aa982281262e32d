"""Google Cloud: who can be reached from where, what forwards, what is kept from deletion, and what an edit replaces."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from config.schema import StackConfig
from network.gcp_rules import balancer_address
from network.plan import NetworkPlanError, plan_network
from network.ports import HEALTH_PATH, HEALTH_PORT
from policy.rules import RULES
from providers.host_keys import host_key
from tests.components.deploy import SEED, deployed
from tests.components.gcp import EXAMPLE, PLACE, example, firewalls, instances, public, two_clouds
from tests.components.judged import resources_of
from tests.components.recording import Recording
from tests.components.sdk_inputs import problems
from tests.components.test_graph import differences
from tests.policy.judge import judge
from tests.stacks import ROOT, put, stack_data

ANYWHERE = "0.0.0.0/0"
OPERATOR = "198.51.100.1/32"
WIREGUARD = ("udp", "41641")
PROBES = {"35.191.0.0/16", "130.211.0.0/22"}

PRIVATE_API = example(("access.api", "tailnet"))
PER_NODE = two_clouds(
    ("regions.2.mode", "per-node"), ("regions.2.machines.0.gateway", ...), ("tailnet.max_devices", 10)
)
BY_INSTANCE = example(("regions.0.provider.routes", "instance"))
STACKS = {
    "the example": example(),
    "two clouds": two_clouds(),
    "private API": PRIVATE_API,
    "per node": PER_NODE,
    "by instance": BY_INSTANCE,
}
every = pytest.mark.parametrize("config", STACKS.values(), ids=STACKS)
later_and_first = pytest.mark.parametrize("preview", [False, True], ids=["later", "first preview"])

# Direction, protocol, port or None for all of them, sources, and the tag of the machines or None for all of them.
Opening = tuple[str, str | None, frozenset[str], str | None]


def openings(recording: Recording, region: str) -> set[Opening]:
    found: set[Opening] = set()
    for item in firewalls(recording, region).values():
        inputs = item.inputs
        assert inputs["direction"] == "INGRESS"
        sources = frozenset(inputs["sourceRanges"])
        assert sources, f"{item.name}: without sources it is open to everybody"
        for allowed in inputs["allows"]:
            for port in allowed.get("ports", [None]):
                for tag in inputs.get("targetTags", [None]):
                    found.add((allowed["protocol"], port, sources, tag))
    return found


# What there is.


def test_the_example_has_these_resources(snapshot: SnapshotAssertion) -> None:
    resources = deployed(example()).resources.values()
    assert snapshot == sorted(f"{item.type} {item.name} (in {item.parent})" for item in resources)


@every
@later_and_first
def test_every_input_is_one_that_the_sdk_would_send(config: StackConfig, preview: bool) -> None:
    made = [item for item in deployed(config, preview=preview).resources.values() if item.type[:4] == "gcp:"]
    assert len(made) > 20
    assert [line for item in made for line in problems(item.type, item.inputs)] == []


def test_an_input_that_the_sdk_does_not_know_is_noticed() -> None:
    machine = deployed(example())["hub-gw-1"]
    interface = machine.inputs["networkInterfaces"][0]
    wrong = {
        "canIpForward": "yes",
        "canIpForwards": True,
        "networkInterfaces": [interface | {"aliasRanges": []}],
    }
    assert sorted(problems(machine.type, machine.inputs | wrong)) == [
        "Instance.canIpForward: 'yes' is no bool",
        "Instance.networkInterfaces: no input aliasRanges",
        "Instance: no input canIpForwards",
    ]
    assert problems(machine.type, {}) == [
        f"Instance: misses {name}" for name in ("bootDisk", "machineType", "networkInterfaces")
    ]


@every
def test_a_preview_shows_every_resource_of_the_update(config: StackConfig) -> None:
    assert deployed(config, preview=True).resources.keys() == deployed(config).resources.keys()


@every
def test_every_resource_uses_the_provider_of_its_project_and_region(config: StackConfig) -> None:
    recording = deployed(config)
    for item in recording.resources.values():
        if item.type.startswith("gcp:"):
            region = item.inputs.get("region") or (item.inputs.get("zone") or "")[:-2]
            assert item.provider.startswith("gcp-acme-ml-")
            assert item.provider.endswith(region)
            assert item.provider in recording.resources


@every
@later_and_first
def test_every_policy_passes(config: StackConfig, preview: bool) -> None:
    resources = resources_of(deployed(config, preview=preview))
    said = {rule.name: judge(rule, *resources) for rule in RULES}
    assert {rule: messages for rule, messages in said.items() if messages} == {}


@every
def test_a_run_prints_no_warning_and_calls_nothing(config: StackConfig) -> None:
    assert (deployed(config).warnings, deployed(config).calls) == ([], [])


# Who can be reached from where.


@every
def test_every_device_has_a_public_address_that_stays_and_its_tunnels_port_is_open(
    config: StackConfig,
) -> None:
    recording = deployed(config)
    for region in plan_network(config).regions:
        if region.name == "gpu":
            continue
        opened = {
            tag: sources
            for protocol, port, sources, tag in openings(recording, region.name)
            if (protocol, port) == WIREGUARD
        }
        assert region.devices
        for node in region.devices:
            machine = recording[node.name]
            (interface,) = machine.inputs["networkInterfaces"]
            (access,) = interface["accessConfigs"]
            assert access["natIp"] == recording.outputs_of(f"{node.name}-public")["address"]
            assert recording[f"{node.name}-public"].inputs["addressType"] == "EXTERNAL"
            assert opened[machine.inputs["tags"][0]] == {ANYWHERE}


def test_no_other_machine_has_one_but_a_public_api_server() -> None:
    def addressed(config: StackConfig) -> set[str]:
        return {name for name, item in instances(deployed(config)).items() if public(item)}

    assert addressed(two_clouds()) == {"hub-cp-1", "hub-gw-1", "hub-gw-2", "eu-a"}
    assert addressed(PRIVATE_API) == {"hub-gw-1", "hub-gw-2"}


def test_nothing_is_open_but_what_the_file_says_and_what_the_region_needs() -> None:
    edit = ("regions.0.gateway_firewall.0.source", "192.0.2.128/25")
    operator = frozenset({OPERATOR})
    inside = frozenset({"10.0.0.0/24", "10.128.0.0/16"})
    remote = frozenset({"10.1.0.0/24", "10.129.0.0/16"})
    assert openings(deployed(example(edit)), "hub") == {
        ("all", None, inside, None),
        ("all", None, remote, None),
        ("tcp", str(HEALTH_PORT), frozenset(PROBES), "hub-gateway"),
        ("udp", "41641", frozenset({"192.0.2.128/25"}), "hub-gateway"),
        ("tcp", "22", operator, "hub-gateway"),
        ("tcp", "22", operator, "hub-worker"),
        ("tcp", "22", operator, "hub-control-plane"),
        ("tcp", "6443", operator, "hub-control-plane"),
    }


def test_ports_with_other_sources_are_never_in_one_rule() -> None:
    """A rule is each of its ports for each of its sources."""
    rules = [
        {"protocol": "udp", "port": 41641, "source": ANYWHERE},
        {"protocol": "tcp", "port": 443, "source": "192.0.2.0/24"},
        {"protocol": "tcp", "port": 443, "source": "203.0.113.0/24"},
    ]
    found = openings(deployed(example(("regions.0.gateway_firewall", rules))), "hub")
    assert ("tcp", "443", frozenset({"192.0.2.0/24", "203.0.113.0/24"}), "hub-gateway") in found
    assert [item for item in found if ANYWHERE in item[2]] == [
        ("udp", "41641", frozenset({ANYWHERE}), "hub-gateway")
    ]


def test_a_region_of_devices_opens_their_port_and_nothing_of_the_lan() -> None:
    operator = frozenset({OPERATOR})
    assert openings(deployed(PER_NODE), "eu") == {
        ("udp", "41641", frozenset({ANYWHERE}), "eu-worker"),
        ("tcp", "22", operator, "eu-worker"),
    }


def test_a_machine_without_an_address_is_reached_over_a_gateway_and_leaves_by_the_nat() -> None:
    recording = deployed(two_clouds())
    connection = recording["eu-b-bootstrap"].secret("connection")
    assert connection["host"] == "10.2.0.11"
    jump = connection["proxy"]
    assert jump["host"] == recording.outputs_of("eu-a-public")["address"]
    assert jump["hostKey"] == host_key(SEED, "eu-a").public
    assert "eu-nat" in recording.before("eu-b")
    (subnetwork,) = recording["eu-nat"].inputs["subnetworks"]
    assert subnetwork["sourceIpRangesToNats"] == ["PRIMARY_IP_RANGE"]
    assert deployed(PER_NODE).of("RouterNat").keys() == {"hub-nat"}


def test_a_private_api_servers_machine_is_reached_over_a_gateway() -> None:
    connection = deployed(PRIVATE_API)["hub-cp-1-bootstrap"].secret("connection")
    assert (connection["host"], "proxy" in connection) == ("10.0.0.10", True)
    assert "proxy" not in deployed(example())["hub-cp-1-bootstrap"].secret("connection")


# Addresses and forwarding.


@every
def test_the_vpc_delivers_each_machines_node_and_pod_addresses(config: StackConfig) -> None:
    recording = deployed(config)
    for region in plan_network(config).regions:
        if region.name == "gpu":
            continue
        subnetwork = recording[f"{region.name}-subnetwork"].inputs
        (secondary,) = subnetwork["secondaryIpRanges"]
        assert (subnetwork["ipCidrRange"], secondary["ipCidrRange"]) == (
            str(region.node_cidr),
            str(region.pod_cidr),
        )
        assert recording[f"{region.name}-network"].inputs["autoCreateSubnetworks"] is False
        assert recording[f"{region.name}-network"].inputs["mtu"] == region.lan_mtu
        for node in region.nodes:
            (interface,) = recording[node.name].inputs["networkInterfaces"]
            alias = {"subnetworkRangeName": secondary["rangeName"], "ipCidrRange": str(node.pod_cidr)}
            assert interface["aliasIpRanges"] == [alias]
            assert interface["networkIp"] == str(node.node_ip)


@every
def test_gateways_forward_and_nobody_else(config: StackConfig) -> None:
    gateways = {node.name for region in plan_network(config).regions for node in region.gateways}
    made = instances(deployed(config))
    forwarding = {name for name, item in made.items() if item.inputs["canIpForward"]}
    assert forwarding == gateways & made.keys()


@every
def test_every_range_of_another_region_has_a_route_in_every_vpc(config: StackConfig) -> None:
    recording, regions = deployed(config), plan_network(config).regions
    routed: dict[str, set[str]] = defaultdict(set)
    for route in recording.of("compute/route:Route").values():
        routed[route.inputs["network"]].add(route.inputs["destRange"])
    for region in regions:
        # Machines that are all devices have no gateway that could carry for somebody else.
        if region.name == "gpu" or region.mode == "per-node":
            continue
        remote = {
            str(cidr)
            for other in regions
            if other is not region
            for cidr in (other.node_cidr, other.pod_cidr)
        }
        assert routed[f"{region.name}-network-id"] == remote


def test_routes_lead_to_a_balancer_that_asks_every_gateway_whether_it_carries_traffic() -> None:
    recording = deployed(example())
    group = recording["hub-gateways"].inputs
    assert group["instances"] == [recording.outputs_of(name)["selfLink"] for name in ("hub-gw-1", "hub-gw-2")]
    assert group["zone"] == recording["hub-gw-1"].inputs["zone"]
    service = recording["hub-routers"].inputs
    assert (service["loadBalancingScheme"], service["protocol"]) == ("INTERNAL", "TCP")
    assert [backend["group"] for backend in service["backends"]] == [
        recording.outputs_of("hub-gateways")["selfLink"]
    ]
    check = recording["hub-health"].inputs["httpHealthCheck"]
    assert (check["port"], check["requestPath"]) == (HEALTH_PORT, HEALTH_PATH)
    rule = recording["hub-balancer-rule"].inputs
    assert rule["allPorts"] is True
    assert rule["ipAddress"] == str(balancer_address(IPv4Network("10.0.0.0/24"))) == "10.0.0.253"
    hops = {route.inputs["nextHopIlb"] for route in recording.of("compute/route:Route").values()}
    assert hops == {recording.outputs_of("hub-balancer-rule")["selfLink"]}


def test_the_gateways_agents_answer_where_the_balancer_asks() -> None:
    def said(config: StackConfig) -> Any:
        (files,) = (
            item
            for name, item in deployed(config).of("ConfigMap").items()
            if name.startswith("hub-gateway-agent")
        )
        return json.loads(files.value("data")["config.json"]).get("health")

    assert said(example()) == f"0.0.0.0:{HEALTH_PORT}"
    assert said(BY_INSTANCE) is None


def test_without_a_balancer_routes_lead_to_the_first_gateway_and_no_port_is_open_for_probes() -> None:
    recording = deployed(BY_INSTANCE)
    hops = {
        (route.inputs["nextHopInstance"], route.inputs["nextHopInstanceZone"])
        for route in recording.of("compute/route:Route").values()
    }
    assert hops == {(recording.outputs_of("hub-gw-1")["selfLink"], "us-central1-a")}
    assert not recording.of("ForwardingRule")
    assert not [opening for opening in openings(recording, "hub") if opening[1] == str(HEALTH_PORT)]


# Machines.


@every
def test_a_machine_is_known_before_it_boots_and_knows_nothing_of_the_cloud(config: StackConfig) -> None:
    for name, item in instances(deployed(config)).items():
        metadata = item.value("metadata")
        assert "serviceAccount" not in item.inputs
        assert metadata["block-project-ssh-keys"] == "true"
        assert metadata["enable-oslogin"] == "FALSE"
        document = yaml.safe_load(metadata["user-data"].value)
        assert document["ssh_keys"]["ed25519_public"] == host_key(SEED, name).public
        assert document["users"][0]["ssh_authorized_keys"] == list(config.access.ssh.authorized_keys)
        (settings,) = document["write_files"]
        assert settings["path"] == "/etc/default/instance_configs.cfg"
        assert "ip_aliases = false" in settings["content"]
        assert "set_host_keys = false" in settings["content"]
        assert set(item.request.additionalSecretOutputs) == {"metadata"}


def test_what_would_be_lost_for_good_is_protected_in_the_stack_and_in_the_cloud() -> None:
    recording = deployed(two_clouds())
    kept = {name for name, item in instances(recording).items() if item.inputs["deletionProtection"]}
    on_disk = {
        name for name, item in instances(recording).items() if not item.inputs["bootDisk"]["autoDelete"]
    }
    assert kept == on_disk == {"hub-cp-1"}
    assert {item.name for item in recording.resources.values() if item.protect} >= {
        "hub-cp-1",
        "hub-cp-1-public",
        "hub-cp-1-internal",
    }


def test_a_wiped_machine_is_made_anew_and_no_other_one() -> None:
    before, after = deployed(two_clouds()), deployed(two_clouds(("regions.2.machines.0.generation", 2)))

    def triggers(recording: Recording) -> dict[str, float]:
        return {
            name: item.request.replacement_trigger.number_value for name, item in instances(recording).items()
        }

    raised = {name for name, value in triggers(after).items() if value != triggers(before)[name]}
    assert raised == {"eu-a"}
    changed = {name for name in differences(before, after) if before[name].type.startswith("gcp:")}
    assert changed == {"eu-a"}
    # The node IP is the same, so the old machine goes first.
    assert after["eu-a"].request.deleteBeforeReplace is True
    assert before.resources.keys() == after.resources.keys()


def test_a_machine_with_another_key_for_the_operator_is_not_made_anew() -> None:
    key = "ssh-ed25519 " + "B" * 68
    before, after = deployed(example()), deployed(example(("access.ssh.authorized_keys", [key])))
    for name in instances(before):
        assert before[name].request.replacement_trigger == after[name].request.replacement_trigger
        assert {
            field for field, value in before[name].inputs.items() if after[name].inputs[field] != value
        } == {"metadata"}


def test_a_new_image_makes_no_machine_anew() -> None:
    for item in instances(deployed(two_clouds())).values():
        assert list(item.request.ignoreChanges) == [
            "bootDisk.initializeParams.image",
            "bootDisk.initializeParams.type",
            "scratchDisks",
        ]


@every
def test_no_name_is_too_long_or_of_other_characters_than_google_takes(config: StackConfig) -> None:
    for item in deployed(config).resources.values():
        if item.type.startswith("gcp:"):
            assert len(item.name) <= 55
            assert item.name.replace("-", "").isalnum()
            assert item.name[0].isalpha()
            assert item.name.islower()


def test_the_longest_allowed_names_fit() -> None:
    name = "h" * 31
    config = example(("regions.0.name", name), ("regions.0.node_groups.0.name", "c" * 20))
    names = [item.name for item in deployed(config).resources.values() if item.type.startswith("gcp:")]
    assert max(map(len, names)) <= 55


def test_gpus_are_built_in_or_attached_and_such_machines_do_not_move() -> None:
    recording = deployed(two_clouds())
    built_in, attached, plain = (recording[name].inputs for name in ("eu-b", "eu-c", "eu-a"))
    assert (built_in["machineType"], "guestAccelerators" in built_in) == ("a3-highgpu-8g", False)
    assert attached["guestAccelerators"] == [{"type": "nvidia-tesla-t4", "count": 1}]
    assert [each["scheduling"]["onHostMaintenance"] for each in (built_in, attached, plain)] == [
        "TERMINATE",
        "TERMINATE",
        "MIGRATE",
    ]
    assert built_in["networkInterfaces"][0]["nicType"] == "GVNIC"


def test_a_groups_machines_are_in_one_resource_and_leave_before_it_and_join_after_it() -> None:
    recording = deployed(example())
    machines = {"hub-cpu-1", "hub-cpu-2"}
    assert machines == {
        name for name, item in instances(recording).items() if item.parent == "hub-cpu-machines"
    }
    assert machines | {"hub-cpu-machines"} <= recording.before("hub-cpu-join")
    for name in machines:
        assert "hub-cpu-retire" in recording.before(name)
    request = json.loads(recording["hub-cpu-join"].secret("stdin"))
    host = request["machines"]["hub-cpu-2"]["host"]
    assert host["ssh_host"] == "10.0.0.41"
    assert host["host_key"] == host_key(SEED, "hub-cpu-2").public
    assert host["jump"]["ssh_host"] == recording.outputs_of("hub-gw-1-public")["address"]


def test_another_machine_in_a_group_is_one_instance_more_and_changes_no_other() -> None:
    before, after = deployed(example()), deployed(example(("regions.0.node_groups.0.count", 3)))
    assert after.resources.keys() - before.resources.keys() == {"hub-cpu-3"}
    changed = {name for name in differences(before, after) if before[name].type.startswith("gcp:")}
    assert changed == set()


def test_another_region_is_routes_and_an_opening_more_in_the_vpc() -> None:
    before, after = deployed(example()), deployed(two_clouds())
    added = {name for name in after.resources.keys() - before.resources.keys() if name.startswith("hub-")}
    assert added == {"hub-to-10-2-0-0-24", "hub-to-10-130-0-0-16"}
    changed = {name for name in differences(before, after) if before[name].type.startswith("gcp:")}
    assert changed == {"hub-from-remote"}


# What is refused.

REFUSED: dict[str, tuple[str, Any, str]] = {
    "a zone elsewhere": (
        "regions.2.provider.zone",
        "us-east1-b",
        "zone us-east1-b does not lie in provider.region europe-west4; write a zone such as europe-west4-a",
    ),
    "Google's own address": ("regions.2.machines.1.node_ip", "10.2.0.1", "keeps for itself in 10.2.0.0/24"),
    "Google's last address": ("regions.2.machines.1.node_ip", "10.2.0.254", "one of 10.2.0.2 to 10.2.0.252"),
    "the balancer's address": ("regions.2.machines.1.node_ip", "10.2.0.253", "or routes: instance"),
    "a small range": ("regions.2.node_cidr", "10.2.0.8/30", "write a /29 or larger"),
    "an MTU": ("regions.2.lan_mtu", 9000, "write one from 1300 to 8896"),
    "a long region": ("regions.2.name", "e" * 32, "write one of at most 31 characters"),
    "unknown GPUs": ("regions.2.machines.1.gpu.count", 3, "3 of type H100 are in no machine of Google Cloud"),
    "no GPUs": (
        "regions.2.machines.1.machine_type",
        "e2-standard-4",
        "has no GPUs built in, and H100 is none",
    ),
    "GPUs in a group": (
        "regions.0.node_groups.0.machine_type",
        "g2-standard-8",
        "list such machines in a region of kind gpu",
    ),
    "a disk that its machines cannot boot from": (
        "regions.0.provider.disk_type",
        "hyperdisk-balanced",
        "machines of type e2-standard-4 cannot boot from provider.disk_type hyperdisk-balanced",
    ),
    "machines that boot from no other disk": (
        "regions.0.node_groups.0.machine_type",
        "n4-standard-8",
        "write disk_type: hyperdisk-balanced",
    ),
    "another processor than the image's": (
        "regions.0.node_groups.0.machine_type",
        "t2a-standard-4",
        "write an image for arm64",
    ),
    "GPUs that nobody wrote": ("regions.2.machines.0.machine_type", "g2-standard-8", "none are written"),
}


@pytest.mark.parametrize(("path", "value", "said"), REFUSED.values(), ids=REFUSED)
def test_what_google_would_refuse_is_refused_before(path: str, value: Any, said: str) -> None:
    with pytest.raises(NetworkPlanError) as error:
        plan_network(two_clouds((path, value)))
    assert any(said in line for line in error.value.problems)


def test_without_a_balancer_its_address_is_a_machines() -> None:
    edits = (
        ("regions.2.machines.1.node_ip", "10.2.0.253"),
        ("regions.2.provider", PLACE | {"routes": "instance"}),
    )
    assert plan_network(two_clouds(*edits)).region("eu").nodes[-1].node_ip.packed[-1] == 253


# What it costs to load.


def loaded(config: str) -> list[str]:
    program = f"""
import sys
from tests.components.deploy import deploy
{config}
deploy(config, preview=True)
print([name for name in sys.modules if name.startswith("pulumi_gcp")])
"""
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return list(yaml.safe_load(found.stdout))


def test_no_stack_loads_the_classes_of_the_sdk_and_one_without_google_cloud_loads_nothing_of_it() -> None:
    assert loaded("from tests.stacks import stack; config = stack()") == []
    with_gcp = loaded("from tests.components.gcp import example; config = example()")
    assert "pulumi_gcp" in with_gcp
    assert [name for name in with_gcp if name.startswith("pulumi_gcp.compute.")] == []


def test_a_region_lies_where_its_provider_says() -> None:
    data = put(stack_data(EXAMPLE), "regions.0.provider", PLACE)
    recording = deployed(StackConfig.model_validate(data))
    assert recording["hub-gw-1"].inputs["zone"] == "europe-west4-b"
