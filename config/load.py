"""The only reader of pulumi.Config: every problem of a stack's settings in one error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
from pulumi.runtime.config import is_config_secret

from config.places import SELLER_KEYS
from config.problems import KEY, stack_problems
from config.schema import StackConfig

PROJECT = "tailspan"
API_KEY = "tailnetApiKey"
CA = "tailnetCa"
SET_API_KEY = f"pulumi config set --secret {PROJECT}:{API_KEY}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that a stack's files and secrets say."""

    stack: StackConfig
    stack_name: str
    tailnet_api_key: pulumi.Output[str]
    tailnet_ca: str | None
    # API keys of sellers, by their provider's kind.
    seller_keys: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)


def load() -> Settings:
    """The settings of the current stack, or one pulumi.RunError (printed without a traceback)."""
    config = pulumi.Config(PROJECT)
    stack_name = pulumi.get_stack()
    file = f"Pulumi.{stack_name}.yaml"
    stack, problems = _stack(config, file)
    api_key = config.get_secret(API_KEY)
    ca = config.get(CA) or None
    problems += _key_problems(file, api_key is not None) + _ca_problems(file, ca)
    seller_keys, missing = _seller_keys(config, file, stack)
    problems += missing
    if problems or stack is None or api_key is None:
        raise pulumi.RunError("\n".join(problems))
    return Settings(
        stack=stack,
        stack_name=stack_name,
        tailnet_api_key=api_key,
        tailnet_ca=ca,
        seller_keys=seller_keys,
    )


def _seller_keys(
    config: pulumi.Config, file: str, stack: StackConfig | None
) -> tuple[dict[str, pulumi.Output[str]], tuple[str, ...]]:
    """The keys of the sellers that the stack's regions use, and what is wrong with them."""
    used = {region.provider.kind for region in stack.regions} if stack else set()
    keys: dict[str, pulumi.Output[str]] = {}
    problems: list[str] = []
    for kind, name in SELLER_KEYS.items():
        full = f"{PROJECT}:{name}"
        command = f"pulumi config set --secret {full}"
        if kind in used and (key := config.get_secret(name)) is not None:
            keys[kind] = key
        elif kind in used:
            problems.append(f"{file}: {full}: the API key of {kind} is missing; run: {command}")
        if config.get_secret(name) is not None and not is_config_secret(full):
            problems.append(f"{file}: {full}: is stored in plain text; revoke that key, then run: {command}")
    return keys, tuple(problems)


def _stack(config: pulumi.Config, file: str) -> tuple[StackConfig | None, tuple[str, ...]]:
    try:
        data = config.get_object("stack")
    except pulumi.ConfigTypeError:
        return None, (
            f"{file}: {KEY}: is not a mapping; write kubernetes, access, tailnet and regions in it",
        )
    if data is None:
        return None, (f"{file}: {KEY}: is missing; copy it from Pulumi.dev.yaml and write your own regions",)
    return stack_problems(data, file)


def _key_problems(file: str, present: bool) -> tuple[str, ...]:
    key = f"{PROJECT}:{API_KEY}"
    if not present:
        return (f"{file}: {key}: the tailnet's API key is missing; run: {SET_API_KEY}",)
    if not is_config_secret(key):
        return (f"{file}: {key}: is stored in plain text; revoke that key, then run: {SET_API_KEY}",)
    return ()


def _ca_problems(file: str, ca: str | None) -> tuple[str, ...]:
    if ca is not None and "-----BEGIN CERTIFICATE-----" not in ca:
        return (
            f"{file}: {PROJECT}:{CA}: is not a PEM certificate; run: pulumi config set "
            f'{PROJECT}:{CA} -- "$(cat ca.pem)"',
        )
    return ()
