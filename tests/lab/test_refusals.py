"""Edits of a running stack that must not come true, and machines that cannot be reached."""

from __future__ import annotations

import time

import pytest

from lab import cloud
from tests.lab import witness
from tests.lab.stand import FIGURES, MACHINES, Json, Stand, all_ready, tailnet_devices, untouched
from tests.stacks import put, ssh_region
from tools import paths

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def machines_before(dev: Stand) -> dict[str, str]:
    return {name: untouched(name) for name in MACHINES}


def test_a_preview_of_the_running_stack_is_quick_and_finds_nothing(dev: Stand) -> None:
    done = dev.run("preview", timeout=60)
    assert done.code == 0, done.tail
    assert "no changes" in done.text
    FIGURES.append(f"`python -m lab preview` of the running stack: {done.seconds:.1f} s")


def test_an_overlap_is_refused_with_what_to_change(dev: Stand) -> None:
    with dev.edited(lambda stack: put(stack, "regions.1.pod_cidr", "10.128.0.0/16")):
        said = dev.refused("preview")
    assert "policy address-map-has-no-overlap (mandatory)" in said
    assert "region gpu: pod_cidr 10.128.0.0/16 overlaps region hub: pod_cidr 10.128.0.0/16" in said
    assert (
        "Write a range that nothing else uses for region gpu under tailspan:stack in the stack file" in said
    )
    assert "for example pod_cidr: 10." in said


def test_a_missing_udp_41641_is_refused_with_what_to_write(dev: Stand) -> None:
    with dev.edited(lambda stack: put(stack, "regions.1.gateway_firewall", [])):
        said = dev.refused("preview")
    assert "policy regions-open-udp-41641 (mandatory)" in said
    assert "region gpu: UDP 41641 is not open from 0.0.0.0/0" in said
    assert "{protocol: udp, port: 41641, source: 0.0.0.0/0} under the region's gateway_firewall" in said


def test_both_are_refused_by_up_too_which_changes_nothing(
    dev: Stand, machines_before: dict[str, str]
) -> None:
    def edit(stack: Json) -> None:
        put(stack, "regions.1.gateway_firewall", [])
        put(stack, "regions.1.pod_cidr", "10.128.0.0/16")

    with dev.edited(edit):
        said = dev.refused("up")
    assert "policy address-map-has-no-overlap (mandatory)" in said
    assert {name: untouched(name) for name in MACHINES} == machines_before


def test_a_running_regions_ranges_cannot_change(dev: Stand) -> None:
    def edit(stack: Json) -> None:
        put(stack, "regions.1.node_cidr", "10.5.0.0/24")
        for machine in stack["regions"][1]["machines"]:
            machine["node_ip"] = machine["node_ip"].replace("10.1.", "10.5.")

    with dev.edited(edit):
        said = dev.refused("preview")
    assert "this change cannot be made to a running cluster" in said
    assert "region gpu: node_cidr is 10.1.0.0/24 on its machines, the stack file says 10.5.0.0/24" in said
    assert "Write the old values back" in said


def test_the_control_plane_cannot_move(dev: Stand) -> None:
    control_plane = {"kind": "kubeadm", "machines": 1, "first_ip": "10.0.0.15"}
    with dev.edited(lambda stack: put(stack, "regions.0.control_plane", control_plane)):
        said = dev.refused("preview")
    assert (
        "machine hub-cp-1: it runs the control plane at 10.0.0.10; replacing it would lose the cluster"
        in said
    )


@pytest.fixture(scope="module")
def unusable_machines(dev: Stand) -> str:
    """A region of two SSH machines: one does not exist, the other is not who it should be. What `up` says."""
    address = {info.name: info.ssh_host for info in cloud.list_machines()}["gpu-b"]
    region = ssh_region(
        gateway_firewall=[{"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}],
        machines=[
            # Headscale's address: it refuses SSH at once, which costs the test less time than silence.
            {
                "name": "tx-a",
                "node_ip": "10.3.0.10",
                "address": "198.51.100.2",
                "host_key": _key(),
                "gateway": True,
            },
            {"name": "tx-b", "node_ip": "10.3.0.11", "address": address, "host_key": _key(), "gateway": True},
        ],
    )
    begun = time.monotonic()
    with dev.edited(lambda stack: put(stack, f"regions.{len(stack['regions'])}", region)):
        said = dev.refused("up", timeout=200)
    FIGURES.append(f"an unreachable SSH machine is given up after {time.monotonic() - begun:.0f} s")
    return said


def _key() -> str:
    """A well-formed key that nobody has."""
    return (paths.lab_dir() / "ssh" / "id_ed25519.pub").read_text().strip()


def test_a_wrong_host_key_stops_before_anything_is_sent(unusable_machines: str) -> None:
    assert "tx-b-bootstrap" in unusable_machines
    assert "host key" in unusable_machines


def test_an_unreachable_machine_is_named_with_the_step(unusable_machines: str) -> None:
    assert "tx-a-bootstrap" in unusable_machines
    assert "SSH: cannot reach 198.51.100.2:22 after" in unusable_machines


def test_the_running_stack_was_not_harmed_and_converges(
    dev: Stand, unusable_machines: str, machines_before: dict[str, str]
) -> None:
    done = dev.up()
    assert "tx-a-key" in done.text, done.tail
    assert all_ready()
    assert {name: untouched(name) for name in MACHINES} == machines_before
    assert sorted(tailnet_devices()) == ["gpu-a", "gpu-b", "hub-gw-1", "hub-gw-2"]
    witness.sees("gpu-c", "hub-cp-1")
    assert "no changes" in dev.up().text


def test_a_second_launcher_is_told_to_wait(dev: Stand) -> None:
    from lab.engine_recovery import only_launcher

    with only_launcher(dev.files):
        said = dev.refused("up")
    assert "another run is at work on it (process" in said
