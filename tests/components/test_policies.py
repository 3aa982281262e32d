"""What tailspan itself builds passes every rule of its pack: at first, when little is known, and later."""

from __future__ import annotations

import pytest

from bootstrap.connector import routes
from config.schema import StackConfig
from network.plan import plan_network
from policy.rules import RULES
from policy.rules.gateways import stack_of
from policy.rules.texts import workload_documents
from tests.components.deploy import deployed
from tests.components.judged import resources_of
from tests.components.managed import eks, gke
from tests.components.stacks import elsewhere, private_api, with_west
from tests.components.test_gke_pool import pool_stack
from tests.policy.judge import judge
from tests.stacks import STACK_FILES, stack_data

# On machines that exist already the firewall is declared: it is not ours.
OPEN = [{"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}]
STACKS = {
    **{path.name: StackConfig.model_validate(stack_data(path)) for path in STACK_FILES},
    "three regions in the lab": with_west(),
    "ssh and Tailscale": elsewhere(
        ("regions.0.gateway_firewall", OPEN), ("regions.1.gateway_firewall", OPEN)
    ),
    "private API": private_api(),
    "GKE": gke(("regions.1.gateway_firewall", OPEN)),
    "GKE, its gateway a node pool": pool_stack(("regions.1.gateway_firewall", OPEN)),
    "EKS": eks(("regions.1.gateway_firewall", OPEN)),
}


@pytest.mark.parametrize("preview", [True, False], ids=["first preview", "later"])
@pytest.mark.parametrize("name", STACKS)
def test_what_tailspan_builds_passes_every_rule(name: str, preview: bool) -> None:
    resources = resources_of(deployed(STACKS[name], preview=preview))
    said = {rule.name: judge(rule, *resources) for rule in RULES}
    assert {rule: messages for rule, messages in said.items() if messages} == {}


@pytest.mark.parametrize("preview", [True, False], ids=["first preview", "later"])
@pytest.mark.parametrize("name", STACKS)
def test_every_gateway_of_the_plan_is_seen_with_its_routes(name: str, preview: bool) -> None:
    """The control: rules that found no gateway would pass everything."""
    regions = plan_network(STACKS[name]).regions
    planned = sorted(routes(node) for region in regions for node in region.devices)
    gateways = stack_of(resources_of(deployed(STACKS[name], preview=preview))).gateways
    assert sorted(str(each.text) for gateway in gateways for each in gateway.routes) == planned


def test_the_connectors_that_a_region_declares_are_those_that_its_scripts_write() -> None:
    recording = deployed(with_west())
    declared = [region.inputs["connectors"] for region in recording.of("GpuProviderRegion").values()]
    assert sorted(name for connectors in declared for name in connectors) == ["gpu-a", "gpu-b", "west-a"]
    for connectors in declared:
        for name, manifest in connectors.items():
            assert workload_documents(recording[f"{name}-bootstrap"].secret("stdin")) == (manifest,)


def test_no_script_of_another_machine_writes_a_gateway() -> None:
    recording = deployed(with_west())
    for name, command in recording.of("remote:Command").items():
        expected = name.removesuffix("-bootstrap") in ("gpu-a", "gpu-b", "west-a")
        pods = workload_documents(command.secret("stdin"))
        assert any(pod["metadata"]["name"] == "apiserver-connector" for pod in pods) is expected
