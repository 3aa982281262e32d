"""Reading a stack: one error for everything, and secrets stay secret."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import set_all_config

from config.load import load
from tests.stacks import ROOT, put, stack_data

pytestmark = pytest.mark.usefixtures("pulumi_stack")

KEY = "tailspan:tailnetApiKey"
COMMAND = "pulumi config set --secret tailspan:tailnetApiKey"


def configure(data: Any, *, key: str | None = "k-123", secret: bool = True, **extra: str) -> None:
    values = (
        {"tailspan:stack": data if isinstance(data, str) else json.dumps(data)} if data is not None else {}
    )
    values |= {KEY: key} if key else {}
    values |= {f"tailspan:{name}": value for name, value in extra.items()}
    set_all_config(values, [KEY] if secret else [])


def refusal() -> str:
    with pytest.raises(pulumi.RunError) as caught:
        load()
    return str(caught.value)


def test_a_stack_is_loaded_with_its_key_as_a_secret() -> None:
    configure(stack_data(), tailnetCa="-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n")
    settings = load()
    assert settings.stack_name == "dev"
    assert [region.name for region in settings.stack.regions] == ["hub", "gpu"]
    assert asyncio.get_event_loop().run_until_complete(settings.tailnet_api_key.is_secret())
    assert settings.tailnet_ca is not None
    assert "k-123" not in repr(settings)


def test_an_empty_ca_means_a_public_one() -> None:
    configure(stack_data(), tailnetCa="")
    assert load().tailnet_ca is None


def test_a_missing_key_is_answered_with_the_command() -> None:
    configure(stack_data(), key=None)
    assert refusal() == f"Pulumi.dev.yaml: {KEY}: the tailnet's API key is missing; run: {COMMAND}"


def test_a_key_in_plain_text_is_refused_without_showing_it() -> None:
    configure(stack_data(), secret=False)
    said = refusal()
    assert f"is stored in plain text; revoke that key, then run: {COMMAND}" in said
    assert "k-123" not in said


def test_a_missing_stack_is_answered_with_where_to_start() -> None:
    configure(None)
    assert "tailspan:stack: is missing; copy it from Pulumi.dev.yaml" in refusal()


def test_a_stack_that_is_no_object_is_refused() -> None:
    configure("{not json")
    assert "Pulumi.dev.yaml: tailspan:stack: is not a mapping" in refusal()


def test_a_ca_that_is_a_file_name_is_refused() -> None:
    configure(stack_data(), tailnetCa="ca.pem")
    assert 'run: pulumi config set tailspan:tailnetCa -- "$(cat ca.pem)"' in refusal()


def test_problems_of_the_stack_and_of_the_secrets_come_together() -> None:
    configure(put(stack_data(), "regions.1.node_cidr", "10.1.0.1/24"), key=None, tailnetCa="x")
    lines = refusal().splitlines()
    assert len(lines) == 3
    assert all(line.startswith("Pulumi.dev.yaml: tailspan:") for line in lines)


SELLER_KEY = "tailspan:hyperstackApiKey"
SET_SELLER_KEY = "pulumi config set --secret tailspan:hyperstackApiKey"


def with_seller() -> Any:
    region = yaml.safe_load((ROOT / "tests" / "corpus" / "bases" / "sellers.yaml").read_text())["regions"][1]
    return put(stack_data(), "regions.2", region)


def test_a_sellers_key_is_asked_for_where_a_region_uses_it() -> None:
    configure(with_seller())
    assert refusal() == (
        f"Pulumi.dev.yaml: {SELLER_KEY}: the API key of hyperstack is missing; run: {SET_SELLER_KEY}"
    )
    configure(stack_data())
    assert load().seller_keys == {}


def test_a_sellers_key_is_a_secret() -> None:
    values = {"tailspan:stack": json.dumps(with_seller()), KEY: "k-123", SELLER_KEY: "s-456"}
    set_all_config(values, [KEY, SELLER_KEY])
    settings = load()
    assert list(settings.seller_keys) == ["hyperstack"]
    assert asyncio.get_event_loop().run_until_complete(settings.seller_keys["hyperstack"].is_secret())
    assert "s-456" not in repr(settings)


def test_a_sellers_key_in_plain_text_is_refused_without_showing_it() -> None:
    configure(with_seller(), hyperstackApiKey="s-456")
    said = refusal()
    assert f"is stored in plain text; revoke that key, then run: {SET_SELLER_KEY}" in said
    assert "s-456" not in said
