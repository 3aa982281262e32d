"""The policies in the real engine: each risk refuses something, and a stack may choose levels and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from lab.engine_files import EngineError
from policy.rules.known import ADDRESS_MAP, GCP_FIREWALL, GPU_REGION
from tests.engine.bench import Bench
from tests.engine.policy_bench import Declared, PolicyBench

pytestmark = pytest.mark.engine

HUB = {"name": "hub", "nodeCidr": "10.0.0.0/24", "podCidr": "10.128.0.0/16"}
WIREGUARD = {"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}
GPU = {"name": "gpu", "nodeCidr": "10.1.0.0/24", "podCidr": "10.129.0.0/16"}


@pytest.fixture
def policies(bench: Bench, tmp_path: Path) -> PolicyBench:
    return PolicyBench.at(bench, tmp_path)


def addresses(**gpu: Any) -> None:
    Declared(ADDRESS_MAP, "addresses", {"serviceCidr": "10.96.0.0/16", "regions": [HUB, GPU | gpu]})


def firewall(**props: Any) -> None:
    opening = {"allows": [{"protocol": "udp", "ports": ["41641"]}], "sourceRanges": ["0.0.0.0/0"]}
    Declared(GCP_FIREWALL, "wireguard", {**opening, "targetTags": ["tailspan-gateway"], **props})


def test_addresses_that_overlap_are_refused(policies: PolicyBench) -> None:
    policies.passes(addresses)
    text = policies.refuses(lambda: addresses(nodeCidr="10.0.0.0/25"), "address-map-has-no-overlap")
    assert "region gpu: node_cidr 10.0.0.0/25 overlaps region hub: node_cidr 10.0.0.0/24" in text


def test_a_firewall_that_keeps_wireguard_out_is_refused(policies: PolicyBench) -> None:
    policies.passes(firewall)
    text = policies.refuses(lambda: firewall(sourceRanges=["10.0.0.0/8"]), "firewalls-open-udp-41641")
    assert "machines tagged tailspan-gateway: UDP 41641 is not open from 0.0.0.0/0" in text


def region(gpus: int) -> None:
    own = {"devices": 1, "podsPerNode": 110, "podAddressesPerNode": 256, "gatewayFirewall": [WIREGUARD]}
    Declared(GPU_REGION, "gpu", {"name": "gpu", "gpus": gpus, "usdPerHour": gpus * 1.9, **own})


def test_more_gpus_than_a_stack_agreed_on_are_refused(policies: PolicyBench) -> None:
    policies.configure(gpus_within_ceiling={"max_gpus": 8})
    policies.passes(lambda: region(8))
    text = policies.refuses(lambda: region(16), "gpus-within-ceiling")
    assert "the stack: 16 GPUs (region gpu 16), the ceiling is 8. Remove machines" in text


def test_an_input_that_is_unknown_in_preview_fails_it(policies: PolicyBench) -> None:
    def program() -> None:
        addresses(nodeCidr=local.Command("late", create="echo 10.1.0.0/24").stdout)

    text = policies.refuses(program, "address-map-has-no-overlap")
    assert "could not be judged, input regions.1.nodeCidr is not known in this preview" in text
    assert "can't run policy" not in text


def test_a_secret_that_a_rule_objects_to_is_not_printed(policies: PolicyBench) -> None:
    text = policies.refuses(
        lambda: addresses(nodeCidr=pulumi.Output.secret("correct-horse-battery")),
        "address-map-has-no-overlap",
    )
    assert "correct-horse-battery" not in text
    assert "'[secret]' is not an IPv4 range" in text


def test_a_rule_that_a_stack_made_advisory_warns_and_lets_the_preview_pass(policies: PolicyBench) -> None:
    policies.configure(address_map_has_no_overlap="advisory")
    text = policies.passes(lambda: addresses(nodeCidr="10.0.0.0/25"))
    assert "policy address-map-has-no-overlap (advisory)" in text
    assert "region gpu: node_cidr 10.0.0.0/25 overlaps region hub" in text


def test_a_rule_that_a_stack_disabled_says_nothing(policies: PolicyBench) -> None:
    policies.configure(address_map_has_no_overlap="disabled")
    assert "address-map-has-no-overlap" not in policies.passes(lambda: addresses(nodeCidr="10.0.0.0/25"))


def test_the_pack_itself_refuses_a_rule_that_does_not_exist(policies: PolicyBench) -> None:
    """As it must where the official CLI is given the file and the launcher does not look at it first."""
    policies.configure(address_map_has_no_overlaps="advisory")
    text = policies.bench.fails("preview", addresses)
    assert (
        "no rule is named address-map-has-no-overlaps. Write address-map-has-no-overlap, or another of:"
        in text
    )


def test_the_launcher_refuses_a_wrong_file_before_the_engine_starts(
    policies: PolicyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.engine_policies.own_pack", lambda: policies.pack)
    policies.configure(
        nonsense="advisory", address_map_has_no_overlap={"enforcementLevel": "loud", "most": 1}
    )
    with pytest.raises(EngineError) as refused:
        policies.bench.run("preview", addresses)
    assert str(refused.value).count("config.dev.json: ") == 3
    assert not policies.bench.files.project_dir.exists()
