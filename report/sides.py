"""A stack before and after a change, as far as its file can be read: the configuration, its plan, its links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from config.problems import KEY, stack_problems
from config.schema import RegionConfig, StackConfig
from network.links import RegionLink, region_links
from network.plan import NetworkPlan, NetworkPlanError, NodePlan, plan_network


@dataclass(frozen=True, kw_only=True)
class Side:
    """
    One side of the comparison. A stack that does not exist has neither configuration nor problems; one with problems
    may have a configuration without a plan.
    """

    config: StackConfig | None = None
    plan: NetworkPlan | None = None
    problems: tuple[str, ...] = ()

    @property
    def exists(self) -> bool:
        return self.config is not None or bool(self.problems)

    @property
    def regions(self) -> dict[str, RegionConfig]:
        """By name, the hub first."""
        regions = self.config.regions if self.config else ()
        return {
            region.name: region for region in sorted(regions, key=lambda one: (one.kind != "cloud", one.name))
        }

    @property
    def nodes(self) -> dict[str, NodePlan]:
        return {node.name: node for region in self.plan.regions for node in region.nodes} if self.plan else {}

    @property
    def links(self) -> dict[tuple[str, str], RegionLink]:
        links = region_links(self.config, self.plan) if self.config and self.plan else ()
        return {(link.one, link.other): link for link in links}


NOTHING = Side()


def side_of_text(text: str | None, file: str) -> Side:
    """What a stack file says; None if there is no such file."""
    if text is None:
        return NOTHING
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        return Side(problems=(f"{file}: not valid YAML: {problem}",))
    config = content.get("config") if isinstance(content, dict) else None
    return side_of(config.get(KEY) if isinstance(config, Mapping) else None, file)


def side_of(data: Any, file: str) -> Side:
    """What the object `tailspan:stack` says, from a file or from the outputs of a running stack."""
    config, problems = stack_problems(data, file)
    if config is None:
        return Side(problems=problems)
    try:
        return Side(config=config, plan=plan_network(config))
    except NetworkPlanError as error:
        return Side(config=config, problems=tuple(f"{file}: {problem}" for problem in error.problems))
