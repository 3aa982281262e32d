"""A place to run small programs through the real engine, and to call a stand-in plugin without it."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import yaml
from rich.console import Console

from lab.engine import Session
from lab.engine_cli import Mode, stack_outputs
from lab.engine_files import Files
from lab.plugins.base import Call, Package
from lab.plugins.engine_log import EngineLog
from lab.plugins.server import Servicer
from lab.plugins.values import decode, encode
from tests.stacks import ROOT

Program = Callable[[], None]
DEV = (ROOT / "Pulumi.dev.yaml").read_text()


def stack_file(data: dict[str, Any]) -> str:
    """The dev stack's file with another `tailspan:stack`."""
    content = yaml.safe_load(DEV)
    content["config"]["tailspan:stack"] = data
    return yaml.safe_dump(content)


@dataclass(frozen=True)
class Run:
    ok: bool
    text: str


@dataclass
class Bench:
    """One stack named dev with a state of its own."""

    files: Files
    policy_packs: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, folder: Path) -> Bench:
        source = folder / "source"
        source.mkdir()
        (source / "Pulumi.yaml").write_text("name: bench\nruntime: python\n")
        (source / "Pulumi.dev.yaml").write_text("config:\n  bench:size: small\n")
        return cls(Files("dev", folder / "copy", source))

    def run(self, verb: str, program: Program, mode: Mode = "lab", **session: Any) -> Run:
        text = io.StringIO()
        console = Console(file=text, width=200, no_color=True)
        packs = self.policy_packs if verb in ("up", "preview") else []
        made = Session(self.files, mode, program, policy_packs=packs, console=console, **session)
        ok = made.run(verb, planning=verb == "preview")
        return Run(ok, text.getvalue())

    def up(self, program: Program, **session: Any) -> str:
        done = self.run("up", program, **session)
        assert done.ok, done.text
        return done.text

    def fails(self, verb: str, program: Program, **session: Any) -> str:
        done = self.run(verb, program, **session)
        assert not done.ok, done.text
        return done.text

    def outputs(self) -> dict[str, Any]:
        return stack_outputs(self.files, "lab")

    def state(self) -> str:
        return json.dumps(self.files.latest())


class Aborted(Exception):
    """What a gRPC client would see."""


class _Context:
    def abort(self, code: grpc.StatusCode, message: str) -> None:
        raise Aborted(message)

    def set_trailing_metadata(self, metadata: Any) -> None:
        self.metadata = metadata


class Plugin:
    """A stand-in's gRPC methods, called directly."""

    def __init__(self, package: Package, **config: Any) -> None:
        self.servicer = Servicer(package, EngineLog())
        self.servicer.mode = "lab"
        self.servicer.config = config

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**fields: Any) -> Any:
            wire = {
                name: encode(value) if isinstance(value, dict) else value for name, value in fields.items()
            }
            defaults = {
                "timeout": 0.0,
                "preview": False,
                "ignoreChanges": [],
                "randomSeed": b"seed",
                "olds": encode({}),
            }
            return getattr(self.servicer, method)(SimpleNamespace(**{**defaults, **wire}), _Context())

        return call

    def check(self, token: str, inputs: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        answer = self.Check(urn=urn(token), news=inputs)
        return decode(answer.inputs), [failure.reason for failure in answer.failures]


def urn(token: str, name: str = "thing") -> str:
    return f"urn:pulumi:dev::bench::{token}::{name}"


def call(**config: Any) -> Call:
    """What a handler gets, without a server around it."""
    return Call(
        urn=urn("any"), config=config, log=lambda *_, **__: None, cancelled=threading.Event(), timeout=30.0
    )
