"""What a stand-in package is made of: resources, functions, a provider; and the errors they may raise."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from lab.plugins.schema import Kind, Record
from lab.plugins.values import UNKNOWN

Properties = dict[str, Any]


class PluginError(Exception):
    """Something the user can understand and mend; its text reaches the user as it is."""


class InitFailed(PluginError):
    """The object exists, but is not healthy: the engine keeps it and tries again with an update."""

    def __init__(self, resource_id: str, outputs: Properties, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.resource_id, self.outputs, self.reasons = resource_id, outputs, reasons


class Log(Protocol):
    def __call__(self, message: str, *, warning: bool = False, passing: bool = False) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request of the engine: what it is about, and what its work needs."""

    urn: str
    config: Mapping[str, Any]  # the provider's configuration
    log: Log
    cancelled: threading.Event
    preview: bool = False
    offline: bool = False  # there is nobody to ask
    rehearsal: bool = False  # nothing may happen; answers are made up, the same every time
    timeout: float = 0.0  # seconds; 0: the resource's own default
    seed: bytes = b""

    @property
    def name(self) -> str:
        return self.urn.rsplit("::", 1)[-1]


class Resource:
    """A resource type. Handlers see plain values (no secret marks); the server puts the marks back."""

    schema: ClassVar[Record]
    # Input paths (prefixes) whose change replaces the resource.
    replace_on: ClassVar[frozenset[str]] = frozenset()
    delete_before_replace: ClassVar[bool] = False
    # Outputs that only the real thing knows, and those of them that are always secret.
    computed: ClassVar[tuple[str, ...]] = ()
    secret_outputs: ClassVar[frozenset[str]] = frozenset()
    # True where an output may repeat any input: one secret input then makes every computed output a secret.
    computed_repeats_inputs: ClassVar[bool] = False

    def check(self, call: Call, inputs: Properties, old: Properties) -> Properties:
        """Inputs with defaults filled in; raises CheckFailed for rules that the schema cannot say."""
        return inputs

    def replaces(self, changed: set[str], old: Properties, new: Properties) -> set[str]:
        """The changed paths that cannot be updated in place."""
        return {path for path in changed for prefix in self.replace_on if under(path, prefix)}

    def deletes_first(self, old: Properties, new: Properties) -> bool:
        return self.delete_before_replace

    def unfinished(self, outputs: Properties) -> set[str]:
        """Paths that an update has to finish, although no input changed."""
        return set()

    def planned(self, inputs: Properties, old_outputs: Properties) -> Properties:
        """The outputs as far as a preview knows them."""
        return {**dict.fromkeys(self.computed, UNKNOWN), **inputs}

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        raise PluginError(f"{type(self).__name__} cannot be created")

    def rehearse(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """What `create` might answer, without doing anything: the same for the same inputs, recognisably made up."""
        return call.name, {**{name: f"rehearsed-{name}" for name in self.computed}, **inputs}

    def update(self, call: Call, resource_id: str, inputs: Properties, old_outputs: Properties) -> Properties:
        raise PluginError(f"{type(self).__name__} cannot be updated in place")

    def read(
        self, call: Call, resource_id: str, inputs: Properties, outputs: Properties
    ) -> tuple[Properties, Properties] | None:
        """(inputs, outputs) as they really are, None if the thing is gone. Default: nothing to look at."""
        return inputs, outputs

    def believed(self, call: Call, stated: Properties, *, external: bool) -> Properties:
        """
        What a preview that asks nobody says of a thing that exists: the state, or of an external one what the program
        states about it.
        """
        return stated

    def delete(self, call: Call, resource_id: str, inputs: Properties, outputs: Properties) -> None:
        raise PluginError(f"{type(self).__name__} cannot be deleted")


class CheckFailed(PluginError):
    """An input that no update could make work."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


Function = Callable[[Call, Properties], Properties]


@dataclass(frozen=True, kw_only=True)
class Package:
    """A plugin's contents. Resource types and functions are named by their Pulumi token."""

    name: str
    resources: Mapping[str, Resource]
    functions: Mapping[str, Function] = field(default_factory=dict)
    config: Kind = field(default_factory=lambda: Record({}))
    # It can say what would be made and make nothing, in the lab neither.
    preview_only: bool = False
    # Given old and new provider configuration: does the provider now talk to another world?
    elsewhere: Callable[[Properties, Properties], bool] = lambda old, new: False


def under(path: str, prefix: str) -> bool:
    """Is the path the prefix or inside it? `spec.selector.app` is in `spec.selector`, not in `spec.sel`."""
    return path == prefix or path.startswith((f"{prefix}.", f"{prefix}["))


def preview_only(package: str) -> PluginError:
    return PluginError(
        f"pulumi-resource-{package} is tailspan's stand-in here, and it only previews: nothing was made at {package}. "
        f"Take lab/plugins/bin off PATH and run `pulumi up` with the official plugin "
        f"(pulumi plugin install resource {package}); `make preview STACK=...` needs neither it nor an account."
    )
