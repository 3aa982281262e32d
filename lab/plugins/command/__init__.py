"""The `command` package: run commands here (local) or over SSH (remote) on create, update and delete."""

from lab.plugins.base import Package
from lab.plugins.command.local import LocalCommand
from lab.plugins.command.remote import RemoteCommand

package = Package(
    name="command",
    resources={"command:local:Command": LocalCommand(), "command:remote:Command": RemoteCommand()},
)
