"""A stack's Pulumi files while the launcher works on it: a copy outside the checkout, which stays clean."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tools import paths

# What the copy of Pulumi.<stack>.yaml keeps between runs although the checkout's file does not have it.
ENCRYPTION_KEYS = ("encryptionsalt", "encryptedkey", "secretsprovider")
API_KEY = "tailspan:tailnetApiKey"
CA = "tailspan:tailnetCa"


class EngineError(RuntimeError):
    """The launcher cannot go on; the message is for the user."""


@dataclass(frozen=True)
class Files:
    """
    One stack's files: `source` is the checkout, `root` the copy with the state and the passphrase; `origin` is the
    stack file, if it is not the checkout's.
    """

    stack: str
    root: Path
    source: Path
    origin: Path | None = None

    @classmethod
    def of_lab(cls, stack: str) -> Files:
        return cls(stack, paths.lab_dir() / "pulumi", paths.repo_root())

    @classmethod
    def of_preview(cls, stack: str) -> Files:
        """For stacks that are not up here: nothing is ever written to this state."""
        return cls(stack, paths.home() / "preview", paths.repo_root())

    def of(self, origin: Path | None) -> Files:
        """The same with another stack file."""
        return replace(self, origin=origin)

    @property
    def project_dir(self) -> Path:
        return self.root / "project"

    @property
    def state_dir(self) -> Path:
        return self.root / "state"

    @property
    def passphrase(self) -> Path:
        return self.root / "passphrase"

    @property
    def stack_file(self) -> Path:
        return self.project_dir / f"Pulumi.{self.stack}.yaml"

    @cached_property
    def project(self) -> str:
        return str(_yaml(self.source / "Pulumi.yaml")["name"])

    @property
    def state_file(self) -> Path:
        return self.state_dir / ".pulumi" / "stacks" / self.project / f"{self.stack}.json"

    @property
    def locks_dir(self) -> Path:
        return self.state_dir / ".pulumi" / "locks" / "organization" / self.project / self.stack

    def prepare(self) -> None:
        """Bring the copy up to date with the checkout; keep what encrypts this copy's secrets."""
        origin = self.find()
        for folder in (self.root, self.project_dir, self.state_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.passphrase.exists():
            write_private(self.passphrase, secrets.token_urlsafe(32))
        # The file backend is chosen by the environment: a `backend` in the project file would contradict it.
        project = {
            key: value for key, value in _yaml(self.source / "Pulumi.yaml").items() if key != "backend"
        }
        write_if_changed(self.project_dir / "Pulumi.yaml", _text(project))
        self.write_config(_yaml(origin))

    def find(self) -> Path:
        """The stack's file: beside Pulumi.yaml, as the CLI has it, or one of the examples."""
        if self.origin is not None:
            return self.origin
        name = f"Pulumi.{self.stack}.yaml"
        folders = (self.source, self.source / "examples")
        for folder in folders:
            if (folder / name).exists():
                return folder / name
        files = [path.name for folder in folders for path in folder.glob("Pulumi.*.yaml")]
        known = sorted({file[len("Pulumi.") : -len(".yaml")] for file in files})
        raise EngineError(f"stack {self.stack}: there is no {name} (there are: {', '.join(known) or 'none'})")

    def write_config(self, origin: dict[str, Any]) -> None:
        kept = _yaml(self.stack_file) if self.stack_file.exists() else {}
        merged = {key: value for key, value in origin.items() if key not in ENCRYPTION_KEYS}
        merged.update({key: kept[key] for key in ENCRYPTION_KEYS if key in kept})
        config = dict(merged.get("config") or {})
        ours = {
            key: value
            for key, value in (kept.get("config") or {}).items()
            if key == CA or _is_own_secret(key, value)
        }
        # Secrets in the checkout's file are encrypted for somebody else: here they are replaced by the lab's.
        foreign = {key for key, value in config.items() if isinstance(value, dict) and "secure" in value}
        for key in foreign - set(ours):
            ours[key] = ours.get(API_KEY)
        merged["config"] = {**config, **{key: value for key, value in ours.items() if value is not None}}
        write_if_changed(self.stack_file, _text(merged))

    def config(self) -> dict[str, Any]:
        return dict(_yaml(self.stack_file).get("config") or {})

    def set_plain(self, key: str, value: str) -> None:
        content = _yaml(self.stack_file)
        content["config"] = {**(content.get("config") or {}), key: value}
        write_if_changed(self.stack_file, _text(content))

    def latest(self) -> dict[str, Any]:
        """The stack's recorded deployment, {} if it was never up here (or is not ours to read)."""
        try:
            checkpoint = json.loads(self.state_file.read_text())
        except (FileNotFoundError, PermissionError):
            return {}
        return dict(checkpoint.get("checkpoint", {}).get("latest") or {})

    def is_up(self) -> bool:
        return any(resource.get("custom") for resource in self.latest().get("resources") or [])


def _is_own_secret(key: str, value: Any) -> bool:
    """Of the program's keys, one that this copy's passphrase encrypts."""
    return key.startswith("tailspan:") and isinstance(value, dict) and "secure" in value


def _yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as problem:
        raise EngineError(f"{path.name}: not valid YAML: {problem}") from problem
    except FileNotFoundError as problem:
        raise EngineError(f"{path.name}: not found in {path.parent}") from problem
    if not isinstance(content, dict):
        raise EngineError(f"{path.name}: got {type(content).__name__}, write a YAML mapping (key: value)")
    return content


def _text(content: dict[str, Any]) -> str:
    # In C where there is one: a thousand machines take the dumper in Python two seconds before anything else begins.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(content, Dumper=dumper, sort_keys=False))


def write_private(path: Path, text: str) -> None:
    """Never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    temporary.replace(path)


def write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        write_private(path, text)
