"""What a tailnet's existing policy file lacks of the one that a plan needs."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any


def missing_from(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The part of `wanted` that `found` does not grant, in the shape in which it can be pasted; empty if none."""
    owners = found.get("tagOwners") or {}
    routes = (found.get("autoApprovers") or {}).get("routes") or {}
    grants = found.get("grants") or []
    missing: dict[str, Any] = {}
    if lacking := {tag: owner for tag, owner in wanted["tagOwners"].items() if tag not in owners}:
        missing["tagOwners"] = lacking
    wanted_routes = wanted["autoApprovers"]["routes"]
    if unapproved := {
        cidr: tags for cidr, tags in wanted_routes.items() if not _approved(cidr, tags, routes)
    }:
        missing["autoApprovers"] = {"routes": unapproved}
    if ungranted := [grant for grant in wanted["grants"] if not _granted(grant, grants)]:
        missing["grants"] = ungranted
    return missing


def _approved(cidr: str, tags: list[str], routes: Mapping[str, list[str]]) -> bool:
    """A route is approved for a tag when a range around it is (tailscale.com/kb/1337: autoApprovers)."""
    block = ip_network(cidr)
    allowed = {
        tag
        for prefix, names in routes.items()
        if (outer := ip_network(prefix)).version == block.version and block.subnet_of(outer)  # type: ignore[arg-type]
        for tag in names
    }
    return set(tags) <= allowed


def _granted(grant: Mapping[str, list[str]], grants: list[Mapping[str, Any]]) -> bool:
    """One grant of the file covers all of this one; what several cover together is not put together."""
    return any(
        all(_covers(existing.get(field) or [], grant[field]) for field in ("src", "dst", "ip"))
        for existing in grants
    )


def _covers(existing: list[str], wanted: list[str]) -> bool:
    return "*" in existing or set(wanted) <= set(existing)
