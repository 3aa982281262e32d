"""Keys and policy of the tailnet, at headscale and at Tailscale."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from components.tailnet import Tailnet, TailnetArgs
from config.schema import StackConfig
from network.plan import plan_network
from network.tailnet_policy import tailnet_policy
from tests.components.deploy import API_KEY, deploy, deployed, run
from tests.components.stacks import dev, elsewhere, every_stack

GET_POLICY = "tailscale:index/getAcl:getAcl"
VERIFY = dev(("tailnet.policy", "verify"))


def answers(text: str) -> dict[str, dict[str, str]]:
    return {GET_POLICY: {"json": text, "hujson": text, "id": "policy"}}


def verify(policy: dict[str, Any] | None, *, preview: bool = False) -> None:
    """The Tailnet alone, in a tailnet whose policy file this is."""

    def program() -> None:
        key = pulumi.Output.secret(API_KEY)
        Tailnet("tailnet", TailnetArgs(config=VERIFY.tailnet, plan=plan_network(VERIFY), api_key=key))

    run(program, preview=preview, answers=answers("" if policy is None else json.dumps(policy)))


def refusal(policy: dict[str, Any]) -> str:
    with pytest.raises(pulumi.RunError) as caught:
        verify(policy)
    return str(caught.value)


def snippet(message: str) -> Any:
    """The part of a refusal that can be pasted."""
    return json.loads(message[message.index("{") : message.rindex("}") + 1])


def complete(config: StackConfig = VERIFY) -> dict[str, Any]:
    return tailnet_policy(plan_network(config))


@every_stack
def test_a_key_is_for_one_device_one_use_one_tag_and_one_hour(config: StackConfig) -> None:
    keys = deployed(config).of("TailnetKey")
    devices = [node for region in plan_network(config).regions for node in region.devices]
    assert keys.keys() == {f"{node.name}-key" for node in devices}
    for node in devices:
        inputs = keys[f"{node.name}-key"].inputs
        assert inputs["reusable"] is False
        # An ephemeral device would be deleted while its machine reboots.
        assert inputs["ephemeral"] is False
        assert inputs["preauthorized"] is True
        assert inputs["tags"] == [f"tag:tailspan-{node.region}"]
        assert 0 < inputs["expiry"] <= 3600
        # A used key is no reason to make another.
        assert inputs["recreateIfInvalid"] == "never"


def test_a_key_is_made_after_the_policy_names_its_tags_owner() -> None:
    recording = deployed(dev())
    for name in recording.of("TailnetKey"):
        assert "tailnet-policy" in recording.before(name)


def test_an_own_policy_is_the_plans_and_destroy_does_not_open_the_tailnet() -> None:
    policy = deployed(dev())["tailnet-policy"]
    assert json.loads(policy.inputs["acl"]) == tailnet_policy(plan_network(dev()))
    assert policy.inputs["resetAclOnDestroy"] is False
    assert policy.request.retainOnDelete


def test_somebodys_hosted_policy_is_protected_and_a_headscale_of_ones_own_goes_with_the_stack() -> None:
    assert deployed(elsewhere())["tailnet-policy"].protect
    assert not deployed(dev())["tailnet-policy"].protect


def test_the_api_is_called_where_the_tailnet_lives() -> None:
    own = deployed(dev())["tailnet-api"]
    assert own.inputs["baseUrl"] == "https://198.51.100.2"
    assert own.secret("apiKey") == API_KEY
    hosted = deployed(elsewhere())["tailnet-api"].inputs
    assert hosted["tailnet"] == "example.com"
    assert "baseUrl" not in hosted


def test_verify_reads_the_policy_by_the_stacks_own_provider_and_writes_nothing() -> None:
    recording = deploy(VERIFY, answers=answers(json.dumps(complete())))
    assert recording.calls == [(GET_POLICY, "tailnet-api")]
    assert recording.of("Acl") == {}
    assert recording.resources.keys() == deployed(dev()).resources.keys() - {"tailnet-policy"}


def test_verify_accepts_a_policy_that_allows_more() -> None:
    policy = complete()
    policy["tagOwners"]["tag:other"] = ["group:other"]
    policy["autoApprovers"]["routes"] = {"10.0.0.0/8": ["tag:tailspan-hub", "tag:tailspan-gpu"]}
    policy["grants"] = [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]
    verify(policy)


def test_verify_refuses_an_empty_policy_with_all_that_is_needed() -> None:
    assert snippet(refusal({})) == complete()


@pytest.mark.parametrize(
    ("lost", "key"),
    [
        ("tagOwners", "tag:tailspan-gpu"),
        ("routes", "10.129.0.0/16"),
        ("grants", 2),
    ],
)
def test_verify_names_exactly_what_is_missing(lost: str, key: Any) -> None:
    policy = complete()
    holder = policy["autoApprovers"] if lost == "routes" else policy
    taken = holder[lost].pop(key)
    message = refusal(policy)
    expected: dict[str, Any] = {lost: {key: taken}} if lost != "grants" else {lost: [taken]}
    assert snippet(message) == ({"autoApprovers": expected} if lost == "routes" else expected)
    assert "tailnet.policy: own" in message


def test_verify_refuses_in_a_preview_already() -> None:
    with pytest.raises(pulumi.RunError, match="lacks what this stack needs"):
        verify({}, preview=True)


def test_only_a_preview_may_go_without_the_policy_file() -> None:
    # An offline preview has nobody to ask. An update that took an empty answer for consent would verify nothing.
    verify(None, preview=True)
    with pytest.raises((pulumi.RunError, ValueError)):
        verify(None)


def test_verify_refuses_a_range_that_is_approved_for_another_tag() -> None:
    policy = complete()
    policy["autoApprovers"]["routes"]["10.1.0.0/24"] = ["tag:tailspan-hub"]
    assert snippet(refusal(policy)) == {"autoApprovers": {"routes": {"10.1.0.0/24": ["tag:tailspan-gpu"]}}}
