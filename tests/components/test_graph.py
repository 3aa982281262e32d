"""The stack as a whole: its resources, their providers, and what an edit of the file changes."""

from __future__ import annotations

import subprocess
import sys

from syrupy.assertion import SnapshotAssertion

from config.schema import StackConfig
from tests.components.deploy import deployed
from tests.components.recording import Recording
from tests.components.stacks import dev, elsewhere, every_stack, reordered, with_west
from tests.stacks import ROOT


def differences(before: Recording, after: Recording) -> set[str]:
    """Resources of `before` that `after` lacks or describes differently."""
    return {name for name, resource in before.resources.items() if after.resources.get(name) != resource}


def test_the_dev_stack_has_these_resources(snapshot: SnapshotAssertion) -> None:
    resources = deployed(dev()).resources.values()
    assert snapshot == sorted(f"{item.type} {item.name} (in {item.parent})" for item in resources)


@every_stack
def test_a_preview_shows_every_resource_of_the_update(config: StackConfig) -> None:
    preview, update = deployed(config, preview=True), deployed(config)
    assert preview.resources.keys() == update.resources.keys()


@every_stack
def test_a_preview_shows_every_plain_option_of_the_update(config: StackConfig) -> None:
    preview, update = deployed(config, preview=True), deployed(config)
    for name, resource in update.resources.items():
        assert (preview[name].type, preview[name].parent, preview[name].provider, preview[name].protect) == (
            resource.type,
            resource.parent,
            resource.provider,
            resource.protect,
        )


@every_stack
def test_no_resource_uses_a_default_provider(config: StackConfig) -> None:
    recording = deployed(config)
    resources = recording.resources.values()
    providers = {item.name for item in resources if item.type.startswith("pulumi:providers:")}
    for item in resources:
        if item.custom and not item.type.startswith("pulumi:"):
            assert item.provider in providers, f"{item.name} has no provider"
            assert recording[item.provider].type == f"pulumi:providers:{item.type.split(':')[0]}"


@every_stack
def test_a_run_prints_no_warning_and_calls_nothing(config: StackConfig) -> None:
    for preview in (False, True):
        recording = deployed(config, preview=preview)
        assert (recording.warnings, recording.calls) == ([], [])


def test_the_control_plane_is_protected_and_nothing_else_of_a_region() -> None:
    protected = {item.name for item in deployed(with_west()).resources.values() if item.protect}
    assert protected == {"hub-cp-1", "hub-cp-1-bootstrap"}


def test_a_control_plane_on_a_listed_machine_and_somebodys_policy_file_are_protected_too() -> None:
    protected = {item.name for item in deployed(elsewhere()).resources.values() if item.protect}
    assert protected == {"hub-cp-bootstrap", "tailnet-policy"}


# A node of every region may talk to the new one, and the address map is all regions' map.
SHARED = {"tailnet-policy", "addresses"}


def test_a_third_region_changes_nothing_of_the_others() -> None:
    before, after = deployed(dev()), deployed(with_west())
    assert differences(before, after) == SHARED
    added = after.resources.keys() - before.resources.keys()
    assert added == after.below("west") | {"west"}


def test_a_machine_more_is_announced_to_its_own_region_only() -> None:
    machine = {"name": "gpu-d", "node_ip": "10.1.0.13"}
    before, after = deployed(dev()), deployed(dev(("regions.1.machines.3", machine)))
    assert differences(before, after) == {"gpu-a-bootstrap", "gpu-b-bootstrap", "gpu-c-bootstrap"}
    assert after.resources.keys() - before.resources.keys() == {"gpu-d", "gpu-d-bootstrap", "gpu-d-join"}


def test_the_order_in_the_file_changes_nothing() -> None:
    before, after = deployed(dev()), deployed(reordered())
    assert differences(before, after) == set()
    assert before.outputs == after.outputs


def test_a_stack_in_the_lab_loads_no_clouds_sdk() -> None:
    program = """
import sys
from tests.components.deploy import deploy
from tests.stacks import stack
deploy(stack(), preview=True)
print([name for name in ("pulumi_gcp", "pulumi_aws", "pulumi_nebius", "lab", "tools") if name in sys.modules])
"""
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
