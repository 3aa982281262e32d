"""What the plan says about regions whose machines a seller makes."""

from __future__ import annotations

from typing import Any

import pytest

from network.plan import NetworkPlanError, plan_network
from network.seller_rules import seller_problems
from tests.components.seller_stacks import sellers

NEBIUS = {"kind": "nebius", "project": "project-e00abcdefgh", "image_family": "ubuntu24.04-cuda12"}


def test_the_stack_with_both_sellers_has_a_plan() -> None:
    plan = plan_network(sellers())
    hyper, neb = plan.region("hyper"), plan.region("neb")
    # Hyperstack knows no network of ours; Nebius' delivers by destination.
    assert (hyper.reach, hyper.lan, len(hyper.devices)) == ("tailnet", False, 2)
    assert (neb.reach, neb.lan, [node.name for node in neb.devices]) == ("tunnel", True, ["neb-a"])


def test_a_cloud_region_at_a_seller_is_refused() -> None:
    found = list(seller_problems(sellers(("regions.0.provider", NEBIUS))))
    assert len(found) == 1
    assert "region hub: kind cloud on nebius" in found[0]
    assert "write kind: gpu" in found[0]


@pytest.mark.parametrize("written", ["gpu-h100-sxm", "gpu-h100-sxm/", "/8gpu", "a/b/c", None])
def test_nebius_needs_a_platform_and_a_preset(written: Any) -> None:
    with pytest.raises(NetworkPlanError, match="write machine_type: PLATFORM/PRESET"):
        plan_network(sellers(("regions.2.machines.0.machine_type", written)))
