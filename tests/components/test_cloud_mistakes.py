"""A mistake in any resource of a cloud that an example makes: the preview-only plugin would stop the preview."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from config.schema import StackConfig
from lab.plugins import aws, gcp
from lab.plugins.cloud.resource import CloudResource
from lab.plugins.schema import problems
from lab.plugins.values import UNKNOWN
from tests.components.deploy import deployed
from tests.components.recording import Secret
from tests.stacks import STACK_FILES, stack_data

PACKAGES = {"gcp": gcp.package, "aws": aws.package}
CLOUDS = [path for path in STACK_FILES if any(f"kind: {cloud}" in path.read_text() for cloud in PACKAGES)]


def plain(value: Any) -> Any:
    """An input as the plugin gets it: secrets opened, whole numbers as such (protobuf knows one kind of number)."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@cache
def made() -> dict[str, tuple[str, dict[str, Any]]]:
    """Resources of gcp and aws in all examples: type and inputs, by example and name."""
    found = {}
    for path in CLOUDS:
        config = StackConfig.model_validate(stack_data(path))
        for name, resource in deployed(config).resources.items():
            if resource.type.split(":")[0] in PACKAGES and resource.custom:
                found[f"{path.name} {name}"] = (resource.type, plain(resource.inputs))
    return found


def schema(token: str) -> Any:
    resource = PACKAGES[token.split(":")[0]].resources[token]
    assert isinstance(resource, CloudResource)
    return resource.schema


def said(token: str, inputs: dict[str, Any]) -> list[str]:
    return [f"{problem.path} {problem.reason}" for problem in problems(schema(token), inputs)]


def mistakes(token: str, inputs: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The inputs with one mistake each, and the name that the refusal must hold."""
    yield "tailspanDoesNotKnow", {**inputs, "tailspanDoesNotKnow": True}
    for name in inputs:
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
        if snake != name:
            misspelt = {key: value for key, value in inputs.items() if key != name}
            yield snake, {**misspelt, snake: inputs[name]}
        # No property of these SDKs takes a list of lists.
        yield name, {**inputs, name: [[["of the wrong type"]]]}
    for field in schema(token).fields:
        if field.endswith("!"):
            yield field[:-1], {key: value for key, value in inputs.items() if key != field[:-1]}


def test_the_examples_make_many_resources_of_both_clouds() -> None:
    types = {token for token, _ in made().values()}
    assert len([token for token in types if token.startswith("gcp:")]) >= 10
    assert len([token for token in types if token.startswith("aws:")]) >= 10


def test_what_the_examples_make_is_right() -> None:
    found = {where: said(token, inputs) for where, (token, inputs) in made().items()}
    assert {where: lines for where, lines in found.items() if lines} == {}


def test_a_wrong_name_a_wrong_type_or_a_missing_input_is_refused_by_its_name() -> None:
    seen: set[tuple[str, frozenset[str]]] = set()
    tried = 0
    for where, (token, inputs) in made().items():
        kind = (token, frozenset(inputs))
        if kind in seen:
            continue
        seen.add(kind)
        for name, wrong in mistakes(token, inputs):
            lines = said(token, wrong)
            assert any(name in line for line in lines), f"{where}: a mistake in {name} passes: {lines}"
            tried += 1
    assert tried > 300


@pytest.mark.parametrize("token", ["gcp:compute/instance:Instance", "aws:ec2/instance:Instance"])
def test_what_is_not_known_yet_is_not_a_mistake(token: str) -> None:
    inputs = next(inputs for kind, inputs in made().values() if kind == token)
    assert said(token, dict.fromkeys(inputs, UNKNOWN)) == []
