"""What local and remote commands have in common: their lifecycle, their environment, their outcome."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from lab.plugins.base import Call, PluginError, Properties, Resource
from lab.plugins.rehearsal import rehearsed_stdout
from lab.plugins.schema import Kind, ListOf, MapOf, OneOf

PREVIOUS = {"PULUMI_COMMAND_STDOUT": "stdout", "PULUMI_COMMAND_STDERR": "stderr"}
TAIL_LINES = 20
COMMAND_IN_MESSAGE = 120

COMMON_INPUTS: dict[str, Kind] = {
    "addPreviousOutputInEnv": "boolean",
    "create": "string",
    "delete": "string",
    "environment": MapOf("string"),
    "logging": OneOf(("stdout", "stderr", "stdoutAndStderr", "none")),
    "stdin": "string",
    "triggers": ListOf("any"),
    "update": "string",
}


@dataclass(frozen=True)
class Job:
    """One run of a command."""

    command: str
    stdin: str
    environment: dict[str, str]
    inputs: Properties
    on_line: Callable[[str, str], None]  # (stream, line)


@dataclass(frozen=True)
class Outcome:
    status: str  # "" when it went well, else for example "exit status 3"
    stdout: str
    stderr: str


class CommandResource(Resource):
    """As the official plugin: triggers replace; other changes run `update`, or else `create` again."""

    replace_on = frozenset({"triggers"})
    computed: ClassVar[tuple[str, ...]] = ("stdout", "stderr")
    # A command may print what it was given.
    computed_repeats_inputs = True

    @abstractmethod
    def run(self, call: Call, job: Job) -> Outcome: ...

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        outputs = self._perform(call, inputs.get("create"), inputs, {})
        return secrets.token_hex(16), {**inputs, **outputs}

    def rehearse(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        return call.name, {**inputs, "stdout": rehearsed_stdout(), "stderr": ""}

    def update(self, call: Call, resource_id: str, inputs: Properties, old_outputs: Properties) -> Properties:
        command = inputs.get("update") or inputs.get("create")
        return {**inputs, **self._perform(call, command, inputs, old_outputs)}

    def delete(self, call: Call, resource_id: str, inputs: Properties, outputs: Properties) -> None:
        self._perform(call, inputs.get("delete"), inputs, outputs)

    def _perform(
        self, call: Call, command: str | None, inputs: Properties, previous: Properties
    ) -> Properties:
        if not command:
            return {name: previous.get(name, "") for name in PREVIOUS.values()}
        environment = dict(inputs.get("environment") or {})
        if inputs.get("addPreviousOutputInEnv", True):
            environment.update({name: previous[key] for name, key in PREVIOUS.items() if previous.get(key)})
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        outcome = self.run(
            call,
            Job(command, inputs.get("stdin") or "", environment, inputs, self._listener(call, inputs, tail)),
        )
        if outcome.status:
            last = "\n".join(tail).rstrip() or "(it printed nothing)"
            raise PluginError(f"{outcome.status}: running {_short(command)}{self.where(inputs)}:\n{last}")
        return {"stdout": outcome.stdout.removesuffix("\n"), "stderr": outcome.stderr.removesuffix("\n")}

    def where(self, inputs: Properties) -> str:
        return ""

    def _listener(self, call: Call, inputs: Properties, tail: deque[str]) -> Callable[[str, str], None]:
        shown = str(inputs.get("logging") or "stdoutAndStderr").lower()

        def on_line(stream: str, line: str) -> None:
            tail.append(line.rstrip("\n"))
            if stream in shown and line.strip():
                call.log(line.rstrip("\n"))

        return on_line


def _short(command: str) -> str:
    lines = command.strip().splitlines()
    first = lines[0][:COMMAND_IN_MESSAGE]
    return f'"{first}{" ..." if len(lines) > 1 or len(lines[0]) > COMMAND_IN_MESSAGE else ""}"'


def texts(environment: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in environment.items()}
