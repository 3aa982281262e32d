"""What a run registered: resources with their options, and secrets told apart from plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

# The wire's mark of a special value, and the kind of special value that is a secret (pulumi: sdk/proto).
MARK = "4dabf18193072939515e22adb298388d"
SECRET_MARK = "1b47061264138c4ac30d75fd1eb44270"


@dataclass(frozen=True)
class Secret:
    """A value that the engine encrypts."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One registration, with names in place of URNs."""

    type: str
    name: str
    parent: str
    custom: bool
    inputs: dict[str, Any]
    provider: str
    protect: bool
    dependencies: frozenset[str]
    # The rarer options, as the SDK sends them.
    request: Any = field(repr=False, compare=False)

    def value(self, key: str) -> Any:
        """An input, secret or not."""
        value = self.inputs[key]
        return value.value if isinstance(value, Secret) else value

    def secret(self, key: str) -> Any:
        """The value of an input that must be a secret."""
        assert isinstance(self.inputs[key], Secret), f"{self.name}: {key} is not a secret"
        return self.value(key)


@dataclass
class Recording:
    """What one run registered, called, warned of and exported."""

    resources: dict[str, Resource] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    computed: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Resource:
        return self.resources[name]

    def outputs_of(self, name: str) -> dict[str, Any]:
        """What a resource's provider says of it."""
        return self.resources[name].inputs | self.computed[name]

    def of(self, kind: str) -> dict[str, Resource]:
        """Resources whose type ends so, by name."""
        return {name: resource for name, resource in self.resources.items() if resource.type.endswith(kind)}

    def below(self, name: str) -> set[str]:
        """The names of everything inside a component."""
        inside = {name}
        while more := {item.name for item in self.resources.values() if item.parent in inside} - inside:
            inside |= more
        return inside - {name}

    def before(self, name: str) -> set[str]:
        """
        Everything that must exist before a resource is made, and goes only after it. A component's
        dependencies are its children's too: nothing registers before its parent has.
        """
        found: set[str] = set()
        waiting = [name]
        while waiting:
            resource = self.resources[waiting.pop()]
            more = resource.dependencies | {resource.parent} & self.resources.keys()
            waiting += more - found
            found |= more
        return found


def read(value: Any) -> Any:
    """A value from the wire, with its secrets marked."""
    if isinstance(value, list):
        return [read(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get(MARK) == SECRET_MARK:
        return Secret(read(value["value"]))
    return {key: read(item) for key, item in value.items()}


def texts(value: Any, *, secrets: bool) -> Iterator[str]:
    """Every key, text and number of a value: those in plain sight, or those inside secrets."""
    if isinstance(value, Secret):
        if secrets:
            yield from texts(value.value, secrets=False)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from () if secrets else (key,)
            yield from texts(item, secrets=secrets)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, secrets=secrets)
    elif not secrets:
        yield str(value)
