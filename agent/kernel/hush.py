"""Nothing leaves through the device of a tailscaled that has just started, until the others have heard of its new key.

A new tailscaled has a new disco key. tailscaled 1.102 takes a peer's new one, which the control server passes on, for
a sign that its session with that peer is dead, and removes the session (ipn/ipnlocal/node_backend.go,
`discoChangedLocked`). A session that a fresh tailscaled has made before that news is therefore lost: it sends into it,
and nothing arrives, for 5 s and more (WireGuard's REKEY_TIMEOUT, and again). Without a packet no session is made.

The kernel's `blackhole` queue drops what is sent (net/sched/sch_blackhole.c, in every kernel with queues to choose).
It is the device's own and goes with it, so nothing is left of it when tailscaled ends.
"""

from __future__ import annotations

import errno

from agent.kernel.devices import TAILNET_DEVICE, index_of
from agent.kernel.netlink import DEL_QDISC, NEW_QDISC, Netlink, NetlinkError, QueueMessage
from agent.log import log

# So long after tailscaled has come up: control servers gather changes for a while before they pass them on.
HUSH_SECONDS = 0.6
# However long it takes to come up; afterwards whatever is wrong is not for this to wait for.
LONGEST_SECONDS = 15.0
_ROOT = 0xFFFFFFFF


class Hush:
    """`tick` is to be called once per beat, and may raise OSError."""

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink
        self._looked = False
        # The device that was there last, and since when it has been kept quiet; the time at which it was up.
        self._device: int | None = None
        self._quiet: float | None = None
        self._up: float | None = None

    def tick(self, up: bool | None, now: float) -> None:
        """`up`: does tailscaled run and know its peers; None while that is not known."""
        device = index_of(TAILNET_DEVICE)
        if device != self._device or not self._looked:
            if device and not self._looked and up is None:
                # It may carry traffic: this agent is younger than the device.
                return
            known, self._looked, self._device = self._looked, True, device
            self._quiet = self._up = None
            if device and (known or not up):
                self._quiet = now
                self._netlink.set(NEW_QDISC, _blackhole(device))
            elif device:
                # An agent that was killed may have left it quiet.
                self._open(device)
        if not device or self._quiet is None:
            return
        if up and self._up is None:
            self._up = now
        if (self._up is not None and now - self._up >= HUSH_SECONDS) or now - self._quiet >= LONGEST_SECONDS:
            self._open(device)
            log("tailnet device open", after=round(now - self._quiet, 2))
            self._quiet = None

    def remove(self) -> None:
        """As without an agent. Raises OSError."""
        device = index_of(TAILNET_DEVICE)
        if device:
            self._open(device)

    def _open(self, device: int) -> None:
        try:
            self._netlink.delete(DEL_QDISC, _blackhole(device))
        except NetlinkError as error:
            # There is only the kernel's own queue, which cannot be removed, or no device any more, or a kernel without
            # queues to choose.
            if error.errno not in (errno.EINVAL, errno.ENODEV, errno.EOPNOTSUPP):
                raise


def _blackhole(device: int) -> QueueMessage:
    message = QueueMessage()
    message["index"] = device
    message["parent"] = _ROOT
    message["attrs"] = [("TCA_KIND", "blackhole")]
    return message
