"""`command:remote:Command`: a command on another machine, over SSH."""

from __future__ import annotations

from lab.plugins.base import Call, Properties
from lab.plugins.command.common import COMMON_INPUTS, CommandResource, Job, Outcome
from lab.plugins.schema import Kind, Record

HOP: dict[str, Kind] = {
    "host!": "string",
    "port": "integer",
    "user": "string",
    "password": "string",
    "privateKey": "string",
    "privateKeyPassword": "string",
    "agentSocketPath": "string",
    "hostKey": "string",
    "dialErrorLimit": "integer",
    "perDialTimeout": "integer",
}


class RemoteCommand(CommandResource):
    schema = Record({**COMMON_INPUTS, "connection!": Record({**HOP, "proxy": Record(HOP)})})

    def run(self, call: Call, job: Job) -> Outcome:
        # Only a command that really runs pays for loading an SSH library.
        from lab.plugins.command.ssh import run_over_ssh

        return run_over_ssh(call, job)

    def where(self, inputs: Properties) -> str:
        return f" on {inputs['connection']['host']}"
