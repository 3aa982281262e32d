"""The way of a stack file through everything that may refuse it: schema, plan, program, policies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from config.problems import stack_problems
from config.schema import StackConfig
from network.plan import NetworkPlanError, plan_network
from policy.rules import RULES
from tests.components.deploy import deploy
from tests.components.judged import resources_of
from tests.policy.judge import judge
from tests.stacks import STACK_FILES, put, stack_data

HERE = Path(__file__).parent


@dataclass(frozen=True)
class End:
    """Where a stack file ended: `by` is schema, plan, a policy's name, or nobody's; and what was said there."""

    by: str
    lines: tuple[str, ...] = ()


ACCEPTED = End("nobody")


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of a file, each with its base and its edits."""
    found: list[dict[str, Any]] = yaml.safe_load((HERE / name).read_text())
    return found


def edited(case: dict[str, Any]) -> Any:
    """The stack file of a case."""
    data = base(case["base"])
    for path, value in case.get("put", {}).items():
        put(data, path, value)
    for path in case.get("remove", []):
        put(data, path, ...)
    return data


def base(name: str) -> dict[str, Any]:
    """A good stack, free to be edited: one of the shipped ones, or one of bases/."""
    shipped = {path.name.split(".")[1]: path for path in STACK_FILES}
    if name in shipped:
        return stack_data(shipped[name])
    content: dict[str, Any] = yaml.safe_load((HERE / "bases" / f"{name}.yaml").read_text())
    return content


def ends(data: Any) -> list[End]:
    """All ends of a stack file: one if the schema or the plan refuses it, else one for each policy that does."""
    config, problems = stack_problems(data, "Pulumi.prod.yaml")
    if config is None:
        return [End("schema", problems)]
    try:
        plan_network(config)
    except NetworkPlanError as error:
        return [End("plan", error.problems)]
    return _judged(config) or [ACCEPTED]


@cache
def _judged(config: StackConfig) -> list[End]:
    """The verdict of every policy on what the program asks for in a preview."""
    resources = resources_of(deploy(config, preview=True))
    found = [End(rule.name, tuple(judge(rule, *resources))) for rule in RULES]
    return [end for end in found if end.lines]
