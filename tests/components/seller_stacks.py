"""Stacks with rented machines: the hub of machines that exist, and one region at each seller."""

from __future__ import annotations

from typing import Any

import yaml

from config.schema import StackConfig
from tests.stacks import ROOT, put

BASE = ROOT / "tests" / "corpus" / "bases" / "sellers.yaml"


def sellers(*edits: tuple[str, Any]) -> StackConfig:
    """The corpus's stack with a region at Hyperstack and one at Nebius."""
    data = yaml.safe_load(BASE.read_text())
    for path, value in edits:
        put(data, path, value)
    return StackConfig.model_validate(data)


def hyperstack_only() -> StackConfig:
    return sellers(("regions.2", ...))
