"""Commands as Pulumi resources, without pulumi_command's generated classes.

They register the same, which a test compares. But an SDK's class makes an output of each of a command's sixteen
properties, and of each part of its connection, and a stack with many machines waits for all of them in every preview.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pulumi

from components.secrets import secret

# `stdout` is a result and may hold what nobody must read, so it is never logged.
Shown = Literal["none", "stderr"]
# Otherwise a run would see what the one before it printed.
_ALWAYS = {"addPreviousOutputInEnv": False}


class LocalCommand(pulumi.CustomResource):
    """A command on the operator's machine."""

    stdout: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        create: str,
        update: str | None = None,
        delete: str | None = None,
        stdin: pulumi.Input[str] | None = None,
        logging: Shown = "stderr",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        verbs = {"create": create, "update": update, "delete": delete}
        inputs = {**_ALWAYS, **verbs, "stdin": stdin, "logging": logging, "stdout": None}
        super().__init__("command:local:Command", resource_name, inputs, opts)


class RemoteCommand(pulumi.CustomResource):
    """A command on a machine, over SSH. The connection is a secret as a whole, as the official SDK has it."""

    stdout: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        connection: Mapping[str, Any],
        create: str,
        update: str,
        delete: str,
        stdin: pulumi.Input[str],
        logging: Shown = "stderr",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        verbs = {"create": create, "update": update, "delete": delete}
        inputs = {**_ALWAYS, **verbs, "stdin": stdin, "logging": logging, "stdout": None}
        hidden = pulumi.ResourceOptions(additional_secret_outputs=["connection"])
        super().__init__(
            "command:remote:Command",
            resource_name,
            {**inputs, "connection": _hidden(connection)},
            pulumi.ResourceOptions.merge(opts, hidden),
        )


def _hidden(connection: Mapping[str, Any]) -> pulumi.Output[Mapping[str, Any]]:
    if _waits(connection):
        return secret(pulumi.Output.from_input(connection))
    # Known as a whole, so that the SDK need not take it apart.
    return secret(pulumi.Output.from_input(True)).apply(lambda _: connection)


def _waits(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_waits(item) for item in value.values())
    return isinstance(value, pulumi.Output)
