"""The Pulumi engine as a child process: its binary, its environment, and that it ends with the launcher."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

import pulumi._version
from pulumi.automation import (
    CommandResult,
    EngineEvent,
    LocalWorkspace,
    OutputValue,
    PulumiCommand,
    Stack,
    UpdateSummary,
)
from pulumi.automation._stack import StackInitMode
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from lab.engine_files import EngineError, Files
from tools import paths

# lab: real effects here. offline: a preview that asks nobody. rehearsal: an update in which nothing happens, to make
# a state that a preview can be compared with.
Mode = Literal["lab", "offline", "rehearsal"]
PLUGINS_BIN = Path(__file__).resolve().parent / "plugins" / "bin"


class Cli(PulumiCommand):
    """The SDK's way to run the CLI, without asking its version (0.3 s) and with a tighter environment."""

    def __init__(self, binary: str, version: str) -> None:
        self.command = binary
        self.version = VersionInfo.parse(version)
        # Where the engine's events go as it wrote them: the SDK's classes leave out what they do not know.
        self.events: list[dict[str, Any]] | None = None
        self.summary: Callable[[EngineEvent], object] = lambda _: None

    @classmethod
    def found(cls) -> Cli:
        # tools/versions.toml pins the engine to the SDK's minor version.
        return cls(find_engine(), str(pulumi._version.version))

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], object] | None = None,
        on_error: Callable[[str], object] | None = None,
    ) -> CommandResult:
        if "--non-interactive" not in args:
            args = ["--non-interactive", *args]
        environment = {**inherited_environment(), **additional_env, "PULUMI_AUTOMATION_API": "true"}
        texts: dict[str, list[str]] = {"stdout": [], "stderr": []}
        with subprocess.Popen(
            [*_dies_with_us(), self.command, *args], cwd=cwd, env=environment, encoding="utf-8",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stderr is not None
            readers = [
                _reader(process.stdout, texts["stdout"], on_output),
                _reader(process.stderr, texts["stderr"], on_error),
            ]
            for reader in readers:
                reader.join()
        if self.events is not None and "--event-log" in args:
            # Read now: the SDK removes the file when this returns.
            lines = Path(args[args.index("--event-log") + 1]).read_text().splitlines()
            self.events += [json.loads(line) for line in lines]
            for event in self.events:
                if "summaryEvent" in event:
                    self.summary(EngineEvent.from_json(event))
        result = CommandResult("\n".join(texts["stdout"]), "\n".join(texts["stderr"]), process.returncode)
        if result.code != 0:
            raise create_command_error(result)
        return result


def _reader(stream: IO[str], lines: list[str], listener: Callable[[str], object] | None) -> threading.Thread:
    def read() -> None:
        for line in stream:
            lines.append(line.rstrip())
            if listener:
                listener(line.rstrip())

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _dies_with_us() -> list[str]:
    """A killed launcher must not leave an engine at work: SIGINT lets it save its state."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "INT"] if setpriv else []


def inherited_environment() -> dict[str, str]:
    """The user's environment without what steers an engine elsewhere: tokens, backends, passphrases."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PULUMI_")}


def environment(files: Files, mode: Mode) -> dict[str, str]:
    venv_bin = str(Path(sys.executable).parent)
    search = [str(paths.bin_dir()), str(PLUGINS_BIN), venv_bin, os.environ.get("PATH", os.defpath)]
    python_path = [str(files.source), str(paths.repo_root())]
    # A rehearsal's state is thrown away: it need not survive a crash, so it is written once, at the end.
    once = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"} if mode == "rehearsal" else {}
    return {
        **once,
        "PATH": os.pathsep.join(search),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(python_path)),
        "TAILSPAN_STANDIN": mode,
        "TAILSPAN_PYTHON": sys.executable,
        "PULUMI_HOME": str(paths.pulumi_home()),
        "PULUMI_BACKEND_URL": f"file://{files.state_dir}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(files.passphrase),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        # The only place where programs on PATH may stand in for official plugins.
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "false",
        # Everything the plugins talk to is on this machine.
        "NO_PROXY": "*",
        "no_proxy": "*",
    }


def keep_no_logs() -> None:
    """A file where the engine's log folder would be makes it go without its log; there is no switch.

    It writes every property of every run into it, which takes a quarter of its time and is nobody's business.
    """
    logs = paths.pulumi_home() / "logs"
    if logs.is_dir():
        shutil.rmtree(logs)
    logs.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    logs.touch()


def find_engine() -> str:
    binary = shutil.which(
        "pulumi", path=os.pathsep.join([str(paths.bin_dir()), os.environ.get("PATH", os.defpath)])
    )
    if binary is None:
        raise EngineError(
            f"pulumi: not in {paths.bin_dir()} and not on PATH. Run `python -m tools engine` first."
        )
    return binary


class KnownStack(Stack):
    """A stack without the questions that the SDK asks the CLI around every operation (0.3 to 0.5 s each)."""

    def __init__(self, name: str, workspace: LocalWorkspace) -> None:
        self.name = name
        self.workspace = workspace
        self._mode = StackInitMode.SELECT

    def _setup_event_log(self, command: str, on_event: Any, pulumi_version: str) -> Any:
        """Events that are kept go through a file, whole and without a thread that parses them meanwhile."""
        cli = self.workspace.pulumi_command
        if not isinstance(cli, Cli) or cli.events is None:
            return super()._setup_event_log(command, on_event, pulumi_version)
        cli.summary = on_event  # the SDK itself waits for this one
        folder = tempfile.TemporaryDirectory(prefix=f"tailspan-{command}-")
        log_file = Path(folder.name, "events.jsonl")
        log_file.touch()
        return str(log_file), None, None, folder, None

    def outputs(self) -> dict[str, OutputValue]:
        """Asked after every update; who wants them calls `stack_outputs`."""
        return {}

    def info(self, show_secrets: bool = False) -> UpdateSummary:
        """Asked after every operation; the event stream has said it all."""
        now = datetime.now(UTC)
        return UpdateSummary("", now, "", {}, {}, "", end_time=now)


def stack_outputs(files: Files, mode: Mode) -> dict[str, Any]:
    """Every output, secrets in plain text."""
    result = Cli.found().run(
        ["stack", "output", "--json", "--show-secrets", "--stack", files.stack],
        str(files.project_dir),
        environment(files, mode),
    )
    return dict(json.loads(result.stdout or "{}"))


def open_stack(files: Files, mode: Mode, program: Callable[[], None]) -> Stack:
    workspace = LocalWorkspace(
        work_dir=str(files.project_dir),
        program=program,
        env_vars=environment(files, mode),
        secrets_provider="passphrase",
        pulumi_command=Cli.found(),
    )
    if not files.state_file.exists():
        workspace.create_stack(files.stack)
    return KnownStack(files.stack, workspace)


def set_secret(files: Files, mode: Mode, key: str, value: str) -> None:
    """By standard input: the SDK's set_config would show the secret in the list of processes."""
    done = subprocess.run(
        [find_engine(), "--non-interactive", "config", "set", "--secret", key, "--stack", files.stack],
        cwd=files.project_dir, input=value, text=True, capture_output=True, check=False,
        env={**inherited_environment(), **environment(files, mode)},
    )  # fmt: skip
    if done.returncode != 0:
        raise EngineError(f"cannot write the secret {key} of stack {files.stack}: {done.stderr.strip()}")
