"""A region at Hyperstack: what each machine's request says, who sees its secrets, and what makes another machine."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml

from config.schema import StackConfig
from policy.rules import RULES
from providers.host_keys import host_key
from providers.rented import machine_tag
from tests.components.deploy import PUBLIC_IP, SEED, SELLER_KEY, deployed
from tests.components.judged import resources_of
from tests.components.recording import Recording, texts
from tests.components.seller_stacks import hyperstack_only, sellers
from tests.policy.judge import judge
from tests.stacks import ROOT

MACHINES = ("hyper-a", "hyper-b")


def request_of(recording: Recording, name: str) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(recording[name].secret("stdin"))
    return request


def test_a_machine_is_a_command_of_its_own_and_the_network_nothing() -> None:
    recording = deployed(sellers())
    inside = {recording[name].type for name in recording.below("hyper")}
    assert {name for name in recording.below("hyper") if recording[name].type == "command:local:Command"} == {
        *MACHINES,
        *(f"{name}-join" for name in MACHINES),
    }
    assert not [kind for kind in inside if kind.startswith(("nebius:", "lab:"))]
    for name in MACHINES:
        machine = recording[name]
        assert [machine.inputs[verb] for verb in ("create", "update", "delete")] == [
            f"python -m ops v1 machine-{verb}" for verb in ("create", "update", "delete")
        ]
        assert machine.request.deleteBeforeReplace


def test_a_request_says_what_the_stack_file_says() -> None:
    request = request_of(deployed(sellers()), "hyper-b")
    machine = request["machine"]
    assert (request["seller"], request["api_key"]) == ("hyperstack", SELLER_KEY)
    assert request["place"] == {
        "environment": "default-CANADA-1",
        "image": "Ubuntu Server 24.04 LTS R570 CUDA 12.8",
        "key_name": "ops",
    }
    assert (machine["name"], machine["machine_type"]) == ("hyper-b", "n3-A100x8")


def test_it_opens_wireguard_to_all_ssh_to_the_operator_and_nothing_else() -> None:
    for name in MACHINES:
        openings = request_of(deployed(sellers()), name)["machine"]["openings"]
        assert {(rule["protocol"], rule["port"], rule["source"]) for rule in openings} == {
            ("udp", 41641, "0.0.0.0/0"),
            ("tcp", 22, "192.0.2.1/32"),
        }


def test_a_machine_is_known_by_the_host_key_that_it_boots_with() -> None:
    recording = deployed(sellers())
    for name in MACHINES:
        key = host_key(SEED, name)
        machine = request_of(recording, name)["machine"]
        assert yaml.safe_load(machine["user_data"])["ssh_keys"]["ed25519_private"] == key.private
        connection = recording[f"{name}-bootstrap"].secret("connection")
        assert (connection["host"], connection["hostKey"]) == (PUBLIC_IP, key.public)
        assert machine["tag"] == machine_tag(key)


def test_the_label_is_one_machines_in_one_generation_of_one_stack() -> None:
    tags = [
        machine_tag(host_key(seed, name, generation))
        for seed in (SEED, "00" * 32)
        for name in MACHINES
        for generation in (1, 2)
    ]
    assert len(set(tags)) == 8
    # Hyperstack separates labels by blanks.
    assert all(" " not in tag and len(tag) < 40 for tag in tags)


def test_neither_key_is_in_plain_sight() -> None:
    recording = deployed(sellers())
    plain = "\n".join(
        text for item in recording.resources.values() for text in texts(item.inputs, secrets=False)
    )
    for name in MACHINES:
        private = host_key(SEED, name).private.splitlines()[1]
        assert private not in plain
        assert private in json.loads(recording[name].secret("stdin"))["machine"]["user_data"]
    assert SELLER_KEY not in plain


@pytest.mark.parametrize(
    ("edit", "another"),
    [
        (("regions.1.machines.0.machine_type", "n3-H100x4"), True),
        (("regions.1.machines.0.generation", 2), True),
        (("regions.1.provider.image", "another"), True),
        (("regions.1.provider.environment", "default-NORWAY-1"), True),
        (("access.allow", ["192.0.2.7/32"]), False),
        (("access.ssh.authorized_keys.1", "ssh-ed25519 " + "B" * 68), False),
    ],
    ids=str,
)
def test_another_machine_is_made_for_another_size_image_place_or_generation_only(
    edit: tuple[str, Any], another: bool
) -> None:
    before, after = deployed(sellers())["hyper-a"], deployed(sellers(edit))["hyper-a"]
    assert (before.inputs["triggers"] != after.inputs["triggers"]) is another
    assert before.secret("stdin") != after.secret("stdin")


def test_a_machine_goes_after_its_node_and_takes_its_script_with_it() -> None:
    recording = deployed(sellers())
    assert "hyper-a" in recording.before("hyper-a-bootstrap") & recording.before("hyper-a-join")
    assert recording["hyper-a-bootstrap"].request.deletedWith.endswith("::hyper-a")


def test_a_machine_more_touches_no_other() -> None:
    more = {"name": "hyper-c", "node_ip": "10.5.0.12", "machine_type": "n3-H100x8"}
    before, after = deployed(sellers()), deployed(sellers(("regions.1.machines.2", more)))
    changed = {name for name, item in before.resources.items() if after.resources.get(name) != item}
    assert not changed & {name for machine in MACHINES for name in (machine, f"{machine}-bootstrap")}


def test_a_lone_machine_is_its_own_gateway() -> None:
    config = sellers(
        ("regions.1.machines.1", ...), ("regions.1.mode", ...), ("regions.1.machines.0.gateway", True)
    )
    openings = request_of(deployed(config), "hyper-a")["machine"]["openings"]
    assert {"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"} in openings


@pytest.mark.parametrize("config", [sellers(), hyperstack_only()], ids=["both sellers", "hyperstack only"])
def test_a_preview_shows_what_the_update_does(config: StackConfig) -> None:
    preview, update = deployed(config, preview=True), deployed(config)
    assert preview.resources.keys() == update.resources.keys()
    for name, item in update.resources.items():
        shown = preview[name]
        assert (shown.type, shown.parent, shown.provider, shown.protect) == (
            item.type,
            item.parent,
            item.provider,
            item.protect,
        )
    for recording in (preview, update):
        assert (recording.warnings, recording.calls) == ([], [])


@pytest.mark.parametrize("config", [sellers(), hyperstack_only()], ids=["both sellers", "hyperstack only"])
def test_no_resource_uses_a_default_provider(config: StackConfig) -> None:
    recording = deployed(config)
    for item in recording.resources.values():
        if item.custom and not item.type.startswith("pulumi:"):
            assert recording[item.provider].type == f"pulumi:providers:{item.type.split(':')[0]}"


@pytest.mark.parametrize("preview", [True, False], ids=["first preview", "later"])
def test_regions_at_sellers_pass_every_policy(preview: bool) -> None:
    resources = resources_of(deployed(sellers(), preview=preview))
    said = {rule.name: judge(rule, *resources) for rule in RULES}
    assert {rule: messages for rule, messages in said.items() if messages} == {}


def test_a_region_at_hyperstack_loads_no_other_sellers_package() -> None:
    program = """
import sys
from tests.components.deploy import deploy
from tests.components.seller_stacks import hyperstack_only
deploy(hyperstack_only(), preview=True)
print([name for name in ("pulumi_gcp", "pulumi_aws", "pulumi_nebius", "providers.nebius") if name in sys.modules])
"""
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
