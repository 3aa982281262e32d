"""versions.toml as values: what is pinned, and how each tool is built."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tools import paths


@dataclass(frozen=True, kw_only=True)
class Official:
    """A program of the user's own that is as good as ours if it prints the pinned version."""

    program: str
    command: tuple[str, ...]
    prints: str


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One Go module of ours (tools/go/<name>) and the programs built from it."""

    name: str
    version: str
    minutes: float
    programs: Mapping[str, str]
    variables: Mapping[str, str]
    official: Official | None

    @property
    def module_dir(self) -> Path:
        return paths.repo_root() / "tools" / "go" / self.name

    @property
    def ldflags(self) -> str:
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in self.variables.items())])


@cache
def pinned() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "versions.toml").read_text())


def tool(name: str) -> Tool:
    entry = pinned()["tools"][name]
    version = entry["version"]
    official = entry.get("official")
    return Tool(
        name=name,
        version=version,
        minutes=entry["minutes"],
        programs=entry["programs"],
        variables={k: v.format(version=version) for k, v in entry.get("variables", {}).items()},
        official=official
        and Official(
            program=official["program"],
            command=tuple(official["command"]),
            prints=official["prints"].format(version=version),
        ),
    )


def all_tools() -> tuple[Tool, ...]:
    return tuple(tool(name) for name in pinned()["tools"])


def version(name: str) -> str:
    return str(pinned()["tools"][name]["version"])


def debian_suite() -> str:
    return str(pinned()["debian"]["suite"])
