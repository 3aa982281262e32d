"""The tailnet's policy file, as a `tailscale:Acl` resource holds it: JSON with comments and trailing commas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network
from typing import Any

from pulumi_policy import PolicyResource, ResourceValidationArgs

from .manifests import at, items, mappings
from .rule import what

ACL = "tailscale:index/acl:Acl"
# Strings first, so that nothing inside one is taken for a comment.
_STRING = r'"(?:[^"\\]|\\.)*"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING = re.compile(rf"({_STRING})|,(?=\s*[}}\]])")


@dataclass(frozen=True)
class Grant:
    """One rule of `grants` or `acls`: who may reach whom, and at what (`*`, `tcp:6443`, `icmp:*`)."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    services: tuple[str, ...]


@dataclass(frozen=True)
class PolicyText:
    """A policy file and the resource that it is written in."""

    resource: PolicyResource | ResourceValidationArgs
    content: Mapping[str, Any]

    def __str__(self) -> str:
        return f"policy file {what(self.resource)}"

    @property
    def urn(self) -> str:
        return self.resource.urn

    def approvers(self) -> Iterator[tuple[IPv4Network, frozenset[str]]]:
        """Who may advertise what without being asked."""
        routes = at(self.content, "autoApprovers", "routes")
        for cidr, tags in (routes or {}).items():
            try:
                yield IPv4Network(cidr), frozenset(str(tag) for tag in items(tags))
            except ValueError:
                continue  # IPv6

    @cached_property
    def grants(self) -> tuple[Grant, ...]:
        return (*(_grant(row) for row in mappings(self.content.get("grants"))), *self._access_rules())

    def _access_rules(self) -> Iterator[Grant]:
        """The older form: the port stands behind the target."""
        for row in mappings(self.content.get("acls")):
            protocol = row.get("proto") or "any"
            for target in items(row.get("dst")):
                host, _, ports = str(target).rpartition(":")
                service = "*" if (protocol, ports) == ("any", "*") else f"{protocol}:{ports}"
                yield Grant(_words(row.get("src")), (host,), (service,))

    @property
    def open_to_all(self) -> bool:
        """A file without a word about access allows everything (tailscale.com/kb/1337/policy-syntax)."""
        return "grants" not in self.content and "acls" not in self.content

    def covers(self, names: Iterable[str], cidr: IPv4Network) -> bool:
        """Whether one of the names is a range around this one."""
        return any(name == "*" or _around(self._range(name), cidr) for name in names)

    def touches(self, names: Iterable[str], cidr: IPv4Network) -> bool:
        """Whether one of the names is a range that shares an address with this one."""
        ranges = [self._range(name) for name in names]
        return "*" in names or any(each is not None and each.overlaps(cidr) for each in ranges)

    def _range(self, name: str) -> IPv4Network | None:
        """A range, an address, or a name under `hosts`; None for a tag, a user or a group."""
        text = at(self.content, "hosts", name) or name
        try:
            return IPv4Network(str(text), strict=False)
        except ValueError:
            return None


def policy_of(resource: PolicyResource | ResourceValidationArgs) -> PolicyText:
    """Raises ValueError for what is no policy file, and for an input that is not known yet."""
    text = str(resource.props.get("acl") or "{}")
    content = json.loads(_TRAILING.sub(r"\1", _COMMENT.sub(r"\1", text)))
    if not isinstance(content, dict):
        raise ValueError("a policy file is an object")
    return PolicyText(resource, content)


def _around(outer: IPv4Network | None, inner: IPv4Network) -> bool:
    return outer is not None and inner.subnet_of(outer)


def _grant(row: Mapping[str, Any]) -> Grant:
    return Grant(_words(row.get("src")), _words(row.get("dst")), _words(row.get("ip")))


def _words(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in items(value))
