"""Programs of a few resources, judged by the real pack in the real engine."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi

from lab.engine_policies import own_pack
from tests.engine.bench import Bench


class Declared(pulumi.ComponentResource):
    """
    A resource of any type without its provider: to the engine a component, to the policies what its type says. What it
    was given is what it has, as in a preview of a resource that does not exist yet.
    """

    def __init__(self, kind: str, name: str, props: dict[str, Any]) -> None:
        super().__init__(kind, name, props)
        self.register_outputs(props)


@dataclass(frozen=True)
class PolicyBench:
    """The pack in a copy of its own, so that a test can give the stack `dev` levels and settings."""

    bench: Bench
    pack: Path

    @classmethod
    def at(cls, bench: Bench, folder: Path) -> PolicyBench:
        pack = folder / "policy"
        shutil.copytree(own_pack(), pack, ignore=shutil.ignore_patterns("__pycache__", "config.*.json"))
        bench.policy_packs = [str(pack)]
        return cls(bench, pack)

    def configure(self, **rules: Any) -> None:
        """Levels and settings by rule, its name with underscores."""
        config = {name.replace("_", "-"): value for name, value in rules.items()}
        (self.pack / "config.dev.json").write_text(json.dumps(config))

    def passes(self, program: Callable[[], Any]) -> str:
        done = self.bench.run("preview", _quiet(program))
        assert done.ok, done.text
        return done.text

    def refuses(self, program: Callable[[], Any], rule: str) -> str:
        """What the preview says after a mandatory rule stopped it."""
        text = self.bench.fails("preview", _quiet(program))
        assert re.findall(r"policy (\S+) \(mandatory\)", text), text
        assert f"policy {rule} (mandatory)" in text, text
        return text


def _quiet(program: Callable[[], Any]) -> Callable[[], None]:
    """A program may be one expression: what it makes is not an output."""

    def run() -> None:
        program()

    return run
