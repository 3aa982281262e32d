"""Versions of Tailscale that disturb a pod network on the same machine: data, each row with its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .cni import Name

Version = tuple[int, ...]
# The bits of a packet's mark that Tailscale's rules use, in every version (tailscale: tsconst/linuxfw.go).
TAILSCALE_MARKS = 0xFF0000


@dataclass(frozen=True, kw_only=True)
class Clash:
    """Versions `since` up to but not including `until` (None: all later ones) that disturb a CNI."""

    cni: Name | None  # None: any
    since: str
    until: str | None
    effect: str
    remedy: str
    source: str
    # TS_DEBUG_FIREWALL_MODE with which it happens; None: with every one.
    mode: str | None = None
    # A value of Cilium's chart with which it does not happen.
    unless: tuple[str, Any] | None = None

    def concerns(self, version: Version) -> bool:
        return numbers(self.since) <= version and (self.until is None or version < numbers(self.until))

    def avoided_by(self, values: Mapping[str, Any]) -> bool:
        return self.unless is not None and values.get(self.unless[0]) == self.unless[1]


CLASHES: tuple[Clash, ...] = (
    Clash(
        cni="cilium",
        since="1.58.2",
        until="1.100.0",
        mode="nftables",
        effect="marks packets 0x400, Cilium's mark of its overlay",
        remedy="write an image of 1.100.0 or later",
        source="https://github.com/tailscale/tailscale/issues/11803",
    ),
    Clash(
        cni=None,
        since="1.96.0",
        until="1.100.0",
        effect="restores connection marks over those of other software",
        remedy="write an image of 1.100.0 or later",
        source="https://github.com/tailscale/tailscale/pull/19725",
    ),
    Clash(
        cni="cilium",
        since="1.98.0",
        until=None,
        unless=("l7Proxy", False),
        effect="sets src_valid_mark=1 at every start, and then Cilium's L7 proxy on that machine answers nobody",
        remedy="write l7Proxy: false in Cilium's values",
        source="https://github.com/cilium/cilium/issues/48706",
    ),
)

# Several gateways per region need the sender's own prefixes checked (network/versions.py of the program has the same).
SEVERAL_GATEWAYS = "1.98.10"
SEVERAL_GATEWAYS_SOURCE = "https://github.com/tailscale/tailscale/blob/v1.98.10/wgengine/wgcfg/device.go"


def numbers(version: str) -> Version:
    return tuple(int(part) for part in version.split("."))


def image_version(image: str) -> Version | None:
    """The version in an image's tag; None for none, and for tags that move (latest, stable, v1.98)."""
    match = re.search(r":v?(\d+\.\d+\.\d+)(?:@sha256:[0-9a-f]+)?$", image)
    return numbers(match.group(1)) if match else None
