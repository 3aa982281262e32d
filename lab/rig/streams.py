"""The prober as its client sees it: streams between pods of a rig, windows of time, and their figures."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.rig.node import POD_ADDRESSES, pod_addresses
from lab.rig.rig import Rig
from lab.rig.world import LOGS
from lab.shell import LabError
from network.plan import NodePlan

# Seconds between two probes of a flow: 50 a second, for each of the flows.
INTERVAL = 0.02
_POLL = 0.1
# Pod addresses from this one on are not used by flows between regions.
FIRST_FREE_FLOW = POD_ADDRESSES - 1


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One direction's figures of a window; `gap` and `last` (the last loss, from the beginning on) are in seconds."""

    sent: int
    lost: int
    gap: float
    last: float
    flows: int


@dataclass(frozen=True, kw_only=True)
class Window:
    seconds: float
    streams: dict[str, Stream]
    broken: tuple[str, ...]
    stall: float

    @property
    def lost(self) -> int:
        return sum(stream.lost for stream in self.streams.values())

    @property
    def gap(self) -> float:
        return max(stream.gap for stream in self.streams.values())


Flows = dict[str, list[list[str]]]


class Streams:
    """Both directions between pods, every flow with addresses and ports of its own."""

    def __init__(self, streams: Flows, log: Path) -> None:
        """`streams`: by name, flows as [namespace, address, namespace, address]."""
        self._log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lab.rig.prober"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                text=True,
            )
        self._send({"interval": INTERVAL, "streams": streams})

    @classmethod
    def on_rig(
        cls,
        rig: Rig,
        pairs: list[tuple[NodePlan, NodePlan]],
        *,
        flows: int = 16,
        inside: tuple[NodePlan, NodePlan] | None = None,
    ) -> Streams:
        """
        Between the pods of each pair of nodes. `flows`: how many in each direction, shared by the pairs; `inside`: two
        nodes of one region, one flow.
        """
        streams: Flows = {}
        for source, target in [*pairs, *((other, one) for one, other in pairs)]:
            name = f"{source.region} to {target.region}"
            streams.setdefault(name, []).extend(cls._flows(rig, source, target, flows // len(pairs)))
        if inside:
            name = f"{inside[0].region} to {inside[1].region}"
            streams[name] = list(cls._flows(rig, *inside, FIRST_FREE_FLOW + 1))[FIRST_FREE_FLOW:]
        return cls(streams, LOGS / "prober.log")

    @staticmethod
    def _flows(rig: Rig, source: NodePlan, target: NodePlan, count: int) -> Iterator[list[str]]:
        pods = rig.pod_namespace(source), rig.pod_namespace(target)
        for here, there in list(zip(pod_addresses(source), pod_addresses(target), strict=True))[:count]:
            yield [pods[0], here, pods[1], there]

    def _send(self, message: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise LabError(f"the prober ended:\n{self._log.read_text()[-2000:]}")
        return dict(json.loads(line))

    def connect(self, count: int = 8, *, within: float = 10) -> None:
        """Opens TCP connections and waits until each has answered once."""
        self._send(["connect", count])
        deadline = time.monotonic() + within
        while self._send(["good", 0.5])["tcp_answered"] < count:
            if time.monotonic() > deadline:
                raise LabError(f"{count} TCP connections: not all of them answer within {within:.0f} s")
            time.sleep(_POLL)

    def connect_what_goes(self, count: int, *, within: float) -> int:
        """As `connect`, for setups in which not every connection comes about: returns how many did."""
        self._send(["connect", count])
        time.sleep(within)
        return int(self._send(["close_silent"])["open"])

    def watch_working(self, seconds: float) -> tuple[int, int]:
        """From now on only flows count that lost nothing in so many seconds: how many, and how many there are."""
        told = self._send(["watch", seconds])
        return int(told["watched"]), int(told["all"])

    def watch_all(self) -> None:
        self._send(["watch", 0])

    def begin(self) -> None:
        self._send(["begin"])

    def bad(self, seconds: float) -> dict[str, int]:
        """Flows of each stream that lost something lately."""
        return dict(self._send(["good", seconds])["bad"])

    def wait_until_good(
        self, *, seconds: float, within: float, streams: Sequence[str] | None = None
    ) -> float | None:
        """Waits for so many seconds without any loss; returns how long that took, None if it did not come."""
        begun = time.monotonic()
        while (waited := time.monotonic() - begun) < within:
            bad = self.bad(seconds) if waited >= seconds else None
            if bad is not None and not (bad.keys() & streams if streams else bad):
                return waited
            time.sleep(_POLL)
        return None

    def end(self) -> Window:
        told = self._send(["end"])
        return Window(
            seconds=told["seconds"],
            streams={name: Stream(**figures) for name, figures in told["streams"].items()},
            broken=tuple(told["tcp"]["broken"]),
            stall=told["tcp"]["stall"],
        )

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
