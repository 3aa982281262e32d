"""Which tailscaled versions carry which feature, as data with the place where each fact was read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The first version that does what we rely on, and what happens below it."""

    version: str
    below: str
    source: str


SEVERAL_GATEWAYS = Floor(
    version="1.98.10",
    below="a packet sent by any gateway but the primary is dropped by the receiver",
    # Older ones look up the owner of a source address by longest prefix (device/receive.go:
    # allowedips.Lookup), newer ones ask the sending peer itself (peer.AllowedPeerSourceIP, set in
    # wgengine/wgcfg/device.go of v1.98.10). Measured: 1.84.3 with headscale 0.27.1 lost 3 of 4 gateway
    # pairs, 1.102.3 with 0.29.2 lost none.
    source="https://github.com/tailscale/tailscale/blob/v1.98.10/wgengine/wgcfg/device.go",
)


def older(version: str, floor: Floor) -> bool:
    """Whether a version lies below a floor."""
    return _numbers(version) < _numbers(floor.version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
