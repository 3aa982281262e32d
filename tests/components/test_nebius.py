"""A region at Nebius: its network is the plan's, its openings are the file's, and its package may be missing."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from providers.host_keys import host_key
from tests.components.deploy import PUBLIC_IP, SEED, deployed
from tests.components.recording import Recording, texts
from tests.components.seller_stacks import sellers
from tests.stacks import ROOT

MACHINES = ("neb-a", "neb-b")
PREFIX = "nebius:index/"


@pytest.fixture
def recording() -> Recording:
    return deployed(sellers())


def openings(recording: Recording, group: str) -> set[tuple[str, str, str]]:
    """What a security group lets in: protocol, ports and sources."""
    rules = [
        rule.inputs
        for rule in recording.of("VpcV1SecurityRule").values()
        if rule.inputs["parentId"] == f"{group}-id" and "ingress" in rule.inputs
    ]
    assert {rule["access"] for rule in rules} == {"ALLOW"}
    return {
        (
            rule["protocol"],
            ",".join(str(int(port)) for port in rule["ingress"].get("destinationPorts", [])) or "any",
            ",".join(rule["ingress"]["sourceCidrs"]),
        )
        for rule in rules
    }


def test_the_region_has_these_resources_at_nebius(recording: Recording) -> None:
    kinds = sorted(
        f"{item.type.rsplit(':', 1)[1]} {item.name}"
        for item in recording.resources.values()
        if item.type.startswith(PREFIX)
    )
    assert kinds == sorted(
        [
            "VpcV1Pool neb-pool",
            "VpcV1Network neb-network",
            "VpcV1Subnet neb-subnet",
            *(f"VpcV1SecurityGroup neb-{role}-firewall" for role in ("gateways", "workers")),
            *(f"VpcV1SecurityRule neb-{role}-inside" for role in ("gateways", "workers")),
            *(f"VpcV1SecurityRule neb-{role}-egress" for role in ("gateways", "workers")),
            *(f"VpcV1SecurityRule neb-{role}-tcp-22-192.0.2.1-32" for role in ("gateways", "workers")),
            "VpcV1SecurityRule neb-gateways-udp-41641-0.0.0.0-0",
            *(f"VpcV1Allocation {name}-node-ip" for name in MACHINES),
            *(f"VpcV1Allocation {name}-public-ip" for name in MACHINES),
            *(f"ComputeV1Instance {name}" for name in MACHINES),
        ]
    )


def test_all_of_it_lies_in_the_region_and_uses_the_projects_provider(recording: Recording) -> None:
    ours = [item for item in recording.resources.values() if item.type.startswith(PREFIX)]
    assert {(item.parent, item.provider) for item in ours} == {("neb", "nebius-project-e00abcdefgh")}
    provider = recording["nebius-project-e00abcdefgh"].inputs
    assert provider["parentId"] == "project-e00abcdefgh"
    # Credentials are read from a file that the environment names; none are in the state.
    assert {"token"}.isdisjoint(provider)
    assert "NEBIUS_CREDENTIALS_FILE" in str(provider["serviceAccount"])


def test_the_subnet_is_the_node_range_and_machines_have_their_planned_addresses(recording: Recording) -> None:
    assert [cidr["cidr"] for cidr in recording["neb-pool"].inputs["cidrs"]] == ["10.6.0.0/24"]
    assert recording["neb-network"].inputs["ipv4PrivatePools"] == {"pools": [{"id": "neb-pool-id"}]}
    assert recording["neb-subnet"].inputs["networkId"] == "neb-network-id"
    for name, address in (("neb-a", "10.6.0.10/32"), ("neb-b", "10.6.0.11/32")):
        private = recording[f"{name}-node-ip"].inputs["ipv4Private"]
        assert private == {"cidr": address, "subnetId": "neb-subnet-id"}
        (interface,) = recording[name].inputs["networkInterfaces"]
        assert interface["ipAddress"] == {"allocationId": f"{name}-node-ip-id"}
        assert interface["publicIpAddress"] == {"allocationId": f"{name}-public-ip-id"}
        # The name of the interface inside the machine is the one that the plan knows.
        assert interface["name"] == "eth0"


def test_only_gateways_open_wireguard_and_nothing_is_wider_than_stated(recording: Recording) -> None:
    inside, ssh = ("ANY", "any", "10.6.0.0/24"), ("TCP", "22", "192.0.2.1/32")
    wireguard = ("UDP", "41641", "0.0.0.0/0")
    assert openings(recording, "neb-gateways-firewall") == {inside, ssh, wireguard}
    assert openings(recording, "neb-workers-firewall") == {inside, ssh}
    for name, group in (("neb-a", "neb-gateways-firewall"), ("neb-b", "neb-workers-firewall")):
        (interface,) = recording[name].inputs["networkInterfaces"]
        assert interface["securityGroups"] == [{"id": f"{group}-id"}]


def test_a_machine_type_is_a_platform_and_a_preset(recording: Recording) -> None:
    for name in MACHINES:
        resources = recording[name].inputs["resources"]
        assert resources == {"platform": "gpu-h100-sxm", "preset": "8gpu-128vcpu-1600gb"}
        disk = recording[name].inputs["bootDisk"]["managedDisk"]["spec"]
        assert (disk["sourceImageFamily"], disk["sizeGibibytes"]) == (
            {"imageFamily": "ubuntu24.04-cuda12"},
            200,
        )


def test_a_machine_boots_with_the_host_key_that_is_compared(recording: Recording) -> None:
    plain = "\n".join(
        text for item in recording.resources.values() for text in texts(item.inputs, secrets=False)
    )
    for name in MACHINES:
        key = host_key(SEED, name)
        data = yaml.safe_load(recording[name].secret("cloudInitUserData"))
        assert data["ssh_keys"]["ed25519_private"] == key.private
        assert key.private.splitlines()[1] not in plain
        connection = recording[f"{name}-bootstrap"].secret("connection")
        assert (connection["host"], connection["hostKey"]) == (PUBLIC_IP, key.public)


def test_another_generation_is_another_machine_under_the_same_addresses() -> None:
    before, after = deployed(sellers()), deployed(sellers(("regions.2.machines.0.generation", 2)))
    assert before["neb-a"].inputs["labels"] != after["neb-a"].inputs["labels"]
    request = after["neb-a"].request
    assert (list(request.replaceOnChanges), request.deleteBeforeReplace) == (["labels"], True)
    for name in ("neb-a-node-ip", "neb-a-public-ip", "neb-b", "neb-network", "neb-subnet"):
        assert before[name] == after[name]


def test_nothing_of_the_cluster_is_made_anew_with_a_machine(recording: Recording) -> None:
    assert recording["neb-a-bootstrap"].request.deletedWith.endswith("::neb-a")
    dependents = {name for name in recording.resources if "neb-a" in recording.before(name)}
    assert not dependents & {"hub-cp-bootstrap", "hub-cp-join", "hub", "hub-gw-join"}


# Unknown argument names are refused by the package's classes; words that it knows for a value are in its descriptions.
@pytest.mark.parametrize(
    ("kind", "argument", "where"),
    [
        ("VpcV1PoolArgs", "version", ("neb-pool", "version")),
        ("VpcV1PoolArgs", "visibility", ("neb-pool", "visibility")),
        ("VpcV1SecurityRuleArgs", "access", ("neb-gateways-inside", "access")),
        ("VpcV1SecurityRuleArgs", "protocol", ("neb-gateways-inside", "protocol")),
        ("VpcV1SecurityRuleArgs", "protocol", ("neb-gateways-tcp-22-192.0.2.1-32", "protocol")),
        ("VpcV1SecurityRuleArgs", "protocol", ("neb-gateways-udp-41641-0.0.0.0-0", "protocol")),
        ("VpcV1SecurityRuleArgs", "type", ("neb-gateways-egress", "type")),
        ("ComputeV1InstanceBootDiskArgs", "attach_mode", ("neb-a", "bootDisk", "attachMode")),
        (
            "ComputeV1InstanceBootDiskManagedDiskSpecArgs",
            "type",
            ("neb-a", "bootDisk", "managedDisk", "spec", "type"),
        ),
    ],
)
def test_every_word_is_one_that_the_package_describes(
    recording: Recording, kind: str, argument: str, where: tuple[str, ...]
) -> None:
    import pulumi_nebius

    described = (
        str(getattr(pulumi_nebius, kind).__init__.__doc__).split(f" {argument}:", 1)[1].split(":param")[0]
    )
    words = set(re.findall(r"- `([A-Z0-9_]+)`", described))
    name, *path = where
    value: Any = recording[name].inputs
    for key in path:
        value = value[key]
    assert value in words
    assert len(words) > 2


def test_a_missing_package_is_answered_with_the_command() -> None:
    program = """
import sys
sys.modules["pulumi_nebius"] = None
import pulumi
try:
    import providers.nebius
except pulumi.RunError as error:
    print(error)
"""
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "pulumi-nebius, which is not installed; run: uv sync --extra sellers" in found.stdout
