"""What a Tailscale gateway is, and what it was told.

A workload is a gateway if one of its containers runs Tailscale (the image `tailscale`, or `containerboot` or
`tailscaled` in its command) and advertises routes (TS_ROUTES or --advertise-routes); a container with TS_ROUTES and
an image that is not known yet counts. Nothing else is: the Tailscale operator and sidecars are not our business.
"""

from __future__ import annotations

import operator
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network
from typing import Any

from pulumi_policy import PolicyResource

from .manifests import Object, at, items, known, known_items, mappings, objects
from .texts import WORKLOADS

_IMAGE = re.compile(r"(?:^|/)tailscale(?::|@|$)")
_PROGRAM = re.compile(r"\b(?:containerboot|tailscaled?)\b")
# A shell's assignment; between double quotes may stand $(...) with quotes of its own.
_ASSIGNMENT = r"\b{name}=(\"(?:[^\"$]|\$\([^)]*\)|\$)*\"|'[^']*'|[^\s;&|]*)"
_FILE = re.compile(r"\$\(\s*(?:cat|<)\s+\"?(?P<path>/[^\s\"$)]+)")
_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
_SWITCHES = frozenset(
    ("accept-routes", "snat-subnet-routes", "stateful-filtering", "accept-dns", "ssh", "reset")
)


@dataclass(frozen=True)
class Value:
    """A value that a container is given; None as text if it is put together only where it runs."""

    text: str | None
    place: str


@dataclass(frozen=True)
class Routes:
    """One gateway's list of routes as it is written."""

    gateway: str
    text: str | None
    place: str
    urn: str
    # Whether the list is for one machine, and not for every pod of the workload.
    for_one: bool = False

    @property
    def prefixes(self) -> list[IPv4Network]:
        """The routes that can be read; how they must be written is another rule's business."""
        found: list[IPv4Network] = []
        for part in (self.text or "").split(","):
            try:
                found.append(IPv4Network(part.strip(), strict=False))
            except ValueError:
                continue
        return found


@dataclass(frozen=True)
class Gateway:
    """A container that is a gateway, in its workload; `stack` answers what a ConfigMap says."""

    workload: Object
    container: Mapping[str, Any]
    stack: Stack

    def __str__(self) -> str:
        return f"gateway {self.workload}"

    @property
    def urn(self) -> str:
        return self.workload.urn

    @cached_property
    def command(self) -> str:
        """What the container runs, as one text."""
        parts = (*items(at(self.container, "command")), *items(at(self.container, "args")))
        return " ".join(str(part) for part in parts)

    def setting(self, name: str) -> Value | None:
        """An environment variable: what the shell sets wins over what the manifest gives."""
        match = re.search(_ASSIGNMENT.format(name=name), self.command)
        if match:
            return self._value(match.group(1).strip("\"'"), "its command")
        row = next((row for row in self._variables() if known(row, "name") == name), None)
        if row is None:
            return self._from_maps(name)
        source = at(row, "valueFrom", "configMapKeyRef")
        if source is not None:
            place = f"ConfigMap {at(source, 'name')}, key {at(source, 'key')}"
            return Value(self._of_map(at(source, "name"), at(source, "key")), place)
        if at(row, "valueFrom") is not None:
            return Value(None, f"its variable {name}")
        value = at(row, "value")
        return self._value("" if value is None else str(value), f"its variable {name}")

    def _value(self, text: str, place: str) -> Value:
        """The text with `$(NAME)` filled in; nobody knows before it runs what a shell or the node puts in."""
        filled = _REFERENCE.sub(lambda match: self._literal(match.group(1)) or match.group(), text)
        return Value(None if "$" in filled else filled, place)

    def _literal(self, name: str) -> str | None:
        row = next((row for row in self._variables() if known(row, "name") == name), None)
        value = at(row, "value")
        return value if isinstance(value, str) and "$" not in value else None

    def _of_map(self, name: Any, key: Any) -> str | None:
        value = at(self.stack.config_map(self.workload.namespace, name), str(key))
        return None if value is None else str(value)

    def _variables(self) -> list[Mapping[str, Any]]:
        """The last of two equal names wins, as in the kubelet."""
        return list(mappings(at(self.container, "env")))[::-1]

    def _from_maps(self, name: str) -> Value | None:
        for row in mappings(at(self.container, "envFrom")):
            source = at(row, "configMapRef", "name")
            text = self._of_map(source, name) if source else None
            if text is not None:
                return Value(text, f"ConfigMap {source}")
        return None

    @property
    def tags(self) -> frozenset[str]:
        """The tags that it asks for; none if its key decides."""
        return frozenset(filter(None, (self.flags or {}).get("advertise-tags", "").split(",")))

    @cached_property
    def flags(self) -> dict[str, str] | None:
        """The arguments of `tailscale up`, without dashes; None if they are put together only where it runs."""
        extra = self.setting("TS_EXTRA_ARGS")
        if extra is not None and extra.text is None:
            return None
        direct = self.command if "tailscale up" in self.command else ""
        return _flags(f"{direct} {extra.text if extra else ''}")

    @cached_property
    def routes(self) -> list[Routes]:
        """What it advertises; one list for each machine if it reads them from a file of a ConfigMap."""
        whole = str(self.workload)
        raw = re.search(_ASSIGNMENT.format(name="TS_ROUTES"), self.command)
        file = _FILE.search(raw.group(1)) if raw else None
        if file:
            data = self._mounted(file.group("path"))
            if data is None:
                return [Routes(whole, None, f"file {file.group('path')}", self.urn)]
            return [
                Routes(f"{whole} on {key}", str(text), f"its ConfigMap, key {key}", self.urn, for_one=True)
                for key, text in data.items()
                if re.fullmatch(r"[\d./, ]+", str(text))
            ]
        setting = self.setting("TS_ROUTES")
        flag = (self.flags or {}).get("advertise-routes")
        if flag is not None:
            return [Routes(whole, flag, "--advertise-routes", self.urn)]
        return [Routes(whole, setting.text, setting.place, self.urn)] if setting else []

    def _mounted(self, path: str) -> Mapping[str, Any] | None:
        """The data of the ConfigMap that is mounted at or above a path."""
        for mount in mappings(at(self.container, "volumeMounts")):
            where = str(at(mount, "mountPath")).rstrip("/")
            if not f"{path}/".startswith(f"{where}/"):
                continue
            for volume in mappings(at(self.workload.pod, "volumes")):
                if at(volume, "name") == at(mount, "name"):
                    return self.stack.config_map(self.workload.namespace, at(volume, "configMap", "name"))
        return None


class Stack:
    """The Kubernetes objects of a whole stack, and the gateways among them."""

    def __init__(self, resources: Sequence[PolicyResource]) -> None:
        self.resources = resources
        self.objects = [item for resource in resources for item in objects(resource)]
        self.workloads = [item for item in self.objects if item.kind in WORKLOADS]

    def of(self, *kinds: str) -> Iterator[Object]:
        return (item for item in self.objects if item.kind in kinds)

    @cached_property
    def gateways(self) -> list[Gateway]:
        return [
            Gateway(workload, container, self)
            for workload in self.workloads
            for container in mappings(known(workload.pod, "containers"))
            if _is_gateway(container)
        ]

    def config_map(self, namespace: str, name: Any) -> Mapping[str, Any] | None:
        """The data of a ConfigMap of the stack, None if it holds none of this name."""
        for item in self.of("ConfigMap"):
            if item.name == name and item.namespace == namespace:
                data = at(item.body, "data")
                return data if isinstance(data, Mapping) else {}
        return None


def stack_of(resources: Sequence[PolicyResource]) -> Stack:
    """
    The stack, read once for all rules that are handed the same inputs: each of them is asked in turn, and reading the
    scripts of a thousand machines anew for each would be most of a preview.
    """
    known_already = _last and len(_last[0].resources) == len(resources)
    if known_already and all(map(operator.is_, _inputs(_last[0].resources), _inputs(resources))):
        return _last[0]
    _last[:] = [Stack(list(resources))]
    return _last[0]


def forget() -> None:
    """Messages of the engine that outlive the judgement end the process with a fault: protobuf is gone before them."""
    _last.clear()


def _inputs(resources: Sequence[PolicyResource]) -> Iterator[Any]:
    return (resource.props for resource in resources)


_last: list[Stack] = []


def _is_gateway(container: Mapping[str, Any]) -> bool:
    words = " ".join(str(part) for key in ("command", "args") for part in known_items(known(container, key)))
    variables = [row for row in known_items(known(container, "env")) if isinstance(row, Mapping)]
    values = " ".join(str(known(row, "value")) for row in variables)
    image = known(container, "image")
    tailscale = image is None or bool(_IMAGE.search(str(image))) or bool(_PROGRAM.search(words))
    return tailscale and (
        any(known(row, "name") == "TS_ROUTES" for row in variables)
        or "TS_ROUTES=" in words
        or "--advertise-routes" in f"{words} {values}"
    )


def _flags(text: str) -> dict[str, str]:
    """Go's flags: one or two dashes, `=value` or, unless it is a switch, the next word."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    found: dict[str, str] = {}
    for index, word in enumerate(words):
        if not word.startswith("-"):
            continue
        name, given, value = word.lstrip("-").partition("=")
        following = words[index + 1] if index + 1 < len(words) else ""
        found[name] = value if given else "true" if name in _SWITCHES else following
    return found
