"""A rehearsal: `up` of a former stack file in which nothing happens, so that a preview has something to compare with.

The real engine runs the program with stand-in plugins that create nothing and answer the same made-up values every
time, into a state that is thrown away. A preview of another stack file against that state then shows what would be
created, updated, replaced and deleted, in the engine's own words, without an account or the true state. See ADR 16.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from lab.engine_files import EngineError, Files
from lab.plugins.rehearsal import REHEARSED_POLICY, THROW_AWAY
from tools import paths, store

# What `python` finds first when a former version of the program is rehearsed; the rest is this checkout's.
PROGRAM = ("stack.py", "outputs.py", "config", "network", "bootstrap", "providers", "components")
STACK_KEY = "tailspan:stack"


@dataclass(frozen=True)
class Base:
    """The stack file to compare with. `text` is None if the stack did not exist; `ref` is the commit it comes from."""

    name: str
    text: str | None
    ref: str | None = None


def find_base(stack: str, wanted: str) -> Base:
    """A file as it is, or the stack file (and the program) of a commit such as origin/main."""
    if Path(wanted).is_file():
        return Base(Path(wanted).name, Path(wanted).read_text())
    done = _git("rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}")
    if done.returncode != 0:
        raise EngineError(
            f"base {wanted}: neither a file nor a commit here; write a stack file's path, or a commit that was "
            "fetched, such as origin/main"
        )
    ref = done.stdout.decode().strip()
    for folder in ("", "examples/"):
        shown = _git("show", f"{ref}:{folder}Pulumi.{stack}.yaml")
        if shown.returncode == 0:
            return Base(wanted, shown.stdout.decode(), ref)
    return Base(wanted, None, ref)


@contextmanager
def rehearsed(stack: str, base: Base) -> Iterator[tuple[Files, str]]:
    """
    The files of a state in which the base was rehearsed, and a remark on how (empty: with the base's own program). One
    at a time: the folder is kept for its passphrase, the state is made anew.
    """
    with store.locked("rehearsal", "a rehearsal"):
        files = Files(stack, paths.home() / "rehearsal", paths.repo_root())
        _empty(files)
        try:
            yield files, _rehearse_base(files, base)
        finally:
            _empty(files)


def base_file(files: Files) -> Path:
    """The stack file that was rehearsed, beside the program that it came with."""
    return files.root / "base" / "stack.yaml"


def _empty(files: Files) -> None:
    shutil.rmtree(files.root / "base", ignore_errors=True)
    _empty_state(files)


def _empty_state(files: Files) -> None:
    shutil.rmtree(files.state_dir, ignore_errors=True)
    files.state_dir.mkdir(parents=True, mode=0o700)
    (files.state_dir / THROW_AWAY).touch()


def _rehearse_base(files: Files, base: Base) -> str:
    if base.text is None:
        return ""
    origin = base_file(files)
    folder = origin.parent
    folder.mkdir(mode=0o700)
    origin.write_text(base.text)
    failure = ""
    if base.ref is not None:
        _export_program(base.ref, folder)
        failure = _run_apart(files.stack, origin, folder)
        if not failure:
            return ""
    _empty_state(files)
    said = rehearse(files.stack, origin)
    if said:
        raise EngineError(f"the base, {base.name}, cannot be rehearsed:\n{said}")
    return "with this checkout's program, because its own failed" if failure else ""


def _export_program(ref: str, folder: Path) -> None:
    present = [part for part in PROGRAM if _git("cat-file", "-e", f"{ref}:{part}").returncode == 0]
    archive = _git("archive", ref, *present)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")


def _run_apart(stack: str, origin: Path, program: Path) -> str:
    """In a process of its own, because two versions of one module cannot live in one; what went wrong, or nothing."""
    search = os.pathsep.join([str(program), str(paths.repo_root())])
    done = subprocess.run(
        [sys.executable, "-m", "lab.rehearsal", stack, str(origin)],
        cwd=program, env={**os.environ, "PYTHONPATH": search}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip() or "it failed silently"


def rehearse(stack: str, origin: Path) -> str:
    """Run the program that `python` finds on a stack file; what went wrong, or nothing."""
    from lab.engine import Session, offline_secrets

    files = Files(stack, paths.home() / "rehearsal", paths.repo_root(), origin)
    text = io.StringIO()
    session = Session(files, "rehearsal", secrets=offline_secrets(origin.read_text()), policy_packs=[],
                      console=Console(file=text, width=200, no_color=True))  # fmt: skip
    policy = files.root / "tailnet-policy.json"
    try:
        policy.write_text(_policy_of(yaml.safe_load(origin.read_text())))
        os.environ[REHEARSED_POLICY] = str(policy)
        ok = session.run("up")
    except Exception as problem:
        # A base that is no stack file at all: whatever its program says about it is the answer.
        return f"{type(problem).__name__}: {problem}"
    finally:
        os.environ.pop(REHEARSED_POLICY, None)
    return "" if ok else text.getvalue().strip()


def _policy_of(stack_file: dict[str, dict[str, object]]) -> str:
    """The tailnet policy with which the stack came up: what it asks for."""
    from config.schema import StackConfig
    from network.plan import plan_network
    from network.tailnet_policy import tailnet_policy

    config = StackConfig.model_validate(stack_file["config"][STACK_KEY])
    return json.dumps(tailnet_policy(plan_network(config)))


def _git(*command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *command], cwd=paths.repo_root(), capture_output=True, check=False)


if __name__ == "__main__":
    sys.exit(rehearse(sys.argv[1], Path(sys.argv[2])) or 0)
