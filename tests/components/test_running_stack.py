"""What a preview of a running stack refuses: ranges and a control plane that moved."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from config.schema import StackConfig
from network.plan import plan_network
from outputs import refuse_moved_addresses
from tests.components.deploy import deploy, deployed, run
from tests.components.stacks import dev, with_west


def exported(config: StackConfig) -> dict[str, Any]:
    """What the stack's last update exported; its secrets are not needed."""
    outputs = deployed(config).outputs["tailspan-dev"]
    return {name: value for name, value in outputs.items() if name != "kubeconfig"}


def judge(config: StackConfig, running: dict[str, Any]) -> None:
    run(
        lambda: refuse_moved_addresses("dev", plan_network(config), config.kubernetes),
        running=running,
        preview=True,
    )


def refusal(*edits: tuple[str, Any]) -> str:
    with pytest.raises(pulumi.RunError) as caught:
        judge(dev(*edits), exported(dev()))
    return str(caught.value)


def test_a_preview_of_the_stack_fails_when_a_running_regions_range_moved() -> None:
    moved = dev(
        ("regions.1.node_cidr", "10.9.0.0/24"),
        (
            "regions.1.machines",
            [
                {"name": "gpu-a", "node_ip": "10.9.0.10", "gateway": True},
            ],
        ),
    )
    with pytest.raises(pulumi.RunError, match=r"region gpu: node_cidr is 10\.1\.0\.0/24 on its machines"):
        deploy(moved, running=exported(dev()), preview=True)


def test_another_pod_range_for_a_running_region_is_refused() -> None:
    said = refusal(("regions.1.pod_cidr", "10.140.0.0/16"))
    assert "region gpu: pod_cidr is 10.129.0.0/16 on its machines, the stack file says 10.140.0.0/16" in said
    assert "Write the old values back" in said


def test_another_service_range_is_refused() -> None:
    said = refusal(("kubernetes.service_cidr", "10.97.0.0/16"))
    assert "service_cidr: the running cluster has 10.96.0.0/16, the stack file 10.97.0.0/16" in said


def test_another_name_for_the_api_server_is_refused() -> None:
    said = refusal(("kubernetes.endpoint", "api.other.internal"))
    assert (
        "endpoint: the running cluster has api.dev.tailspan.internal, the stack file api.other.internal"
        in said
    )


def test_another_minor_is_refused_and_another_patch_is_not() -> None:
    assert "version: the running cluster is v1.33.1, the stack file says 1.34.0" in refusal(
        ("kubernetes.version", "1.34.0")
    )
    judge(dev(("kubernetes.version", "1.33.4")), exported(dev()))


def test_a_machine_that_moves_is_refused() -> None:
    said = refusal(("regions.1.machines.2.node_ip", "10.1.0.20"))
    assert "machine gpu-c: it runs as 10.1.0.12 with pods in 10.129.12.0/24" in said
    assert "give the machine a new name instead" in said


def test_a_control_plane_that_moves_is_refused() -> None:
    said = refusal(("regions.0.control_plane.first_ip", "10.0.0.11"))
    assert "machine hub-cp-1: it runs the control plane at 10.0.0.10" in said


def test_every_reason_is_in_one_refusal() -> None:
    said = refusal(("regions.0.pod_cidr", "10.141.0.0/16"), ("regions.1.pod_cidr", "10.140.0.0/16"))
    assert "region hub:" in said
    assert "region gpu:" in said


def test_the_running_stack_is_asked_by_its_own_name() -> None:
    reference = deployed(dev())["running"]
    assert reference.request.id == "acme/tailspan/dev"


def test_the_first_update_and_one_without_a_change_are_not_refused() -> None:
    judge(dev(), {})
    judge(dev(), exported(dev()))


def test_a_region_may_come_and_go() -> None:
    judge(with_west(), exported(dev()))
    judge(dev(), exported(with_west()))
