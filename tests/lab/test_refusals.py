"""Edits of a running stack that must not come true."""

from __future__ import annotations

import pytest

from tests.lab.stand import FIGURES, MACHINES, DoomedUp, Json, Stand, untouched
from tests.stacks import put

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


def test_an_up_that_the_policies_refuse_changes_nothing(dev: Stand) -> None:
    def edit(stack: Json) -> None:
        put(stack, "regions.1.gateway_firewall", [])
        put(stack, "regions.1.pod_cidr", "10.128.0.0/16")

    before = {name: untouched(name) for name in MACHINES}
    with dev.edited(edit):
        said = dev.refused("up")
    assert "policy address-map-has-no-overlap (mandatory)" in said
    assert {name: untouched(name) for name in MACHINES} == before


def test_a_second_launcher_is_told_to_wait(dev: Stand, doomed_up: DoomedUp) -> None:
    said = dev.refused("up")
    assert f"another run is at work on it (process {doomed_up.process.pid}). Wait for it." in said


# Previews may look while an update runs: these do, because the doomed one mostly waits.


def test_a_preview_of_the_running_stack_is_quick_and_finds_nothing(dev: Stand) -> None:
    done = dev.run("preview", timeout=60)
    assert done.code == 0, done.tail
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
