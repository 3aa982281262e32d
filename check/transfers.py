"""Bulk transfers between two pods: complete, unaltered, how fast; and whether a LAN's traffic stays there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from check.cluster import Cluster, Pod, Run
from check.links import tunnel_bytes
from check.manifests import FILES
from check.result import Result
from check.stack import Node, Region

TRANSFER, LAN = "transfer", "LAN traffic stays on the LAN"
ENCRYPTED = "in-region traffic is encrypted"
LARGE, SMALL = 100, 20  # MB

MAKE = "dd if=/dev/urandom of=/data/{size} bs=1M count={size} 2>/dev/null && sha256sum /data/{size}"
# Time is taken in the pod: the way of the command itself does not count.
FETCH = """
read -r start rest < /proc/uptime
timeout 45 wget -qO /data/in http://{ip}:{port}/data/{size}; code=$?
read -r end rest < /proc/uptime
echo $code $start $end $(sha256sum /data/in); rm -f /data/in
"""


def make_file(cluster: Cluster, pod: Pod, size: int) -> str | None:
    """Fills a file with noise and returns its checksum."""
    run = cluster.exec(pod.name, ["sh", "-c", MAKE.format(size=size)])
    return run.out.split()[0] if run.ok and run.out else None


def fetch(cluster: Cluster, to: Pod, source: Pod, size: int) -> tuple[str | None, float, Run]:
    """Checksum of what arrived, seconds, and the run itself for its error."""
    run = cluster.exec(to.name, ["sh", "-c", FETCH.format(ip=source.ip, port=FILES, size=size)], timeout=60)
    words = run.out.split()
    if len(words) < 4 or words[0] != "0":
        return None, run.seconds, run
    return words[3], max(float(words[2]) - float(words[1]), 0.01), run


def transfer(cluster: Cluster, one: str, other: str, source: Pod, to: Pod, checksum: str | None) -> Result:
    """100 MB from one region to another."""
    subject = f"{one} to {other}"
    if checksum is None:
        cause = f"no room for {LARGE} MB in the pod's /data on {source.node}?"
        return Result(name=TRANSFER, subject=subject, ok=False, detail="no file to send", cause=cause)
    arrived, seconds, run = fetch(cluster, to, source, LARGE)
    if arrived is None:
        cause = (
            f"{source.node} to {to.node} stalls or breaks ({run.trouble}): MSS clamp or MTU if small "
            "packets pass, else the way of the pods above"
        )
        return Result(
            name=TRANSFER, subject=subject, ok=False, detail="not complete", cause=cause, seconds=seconds
        )
    if arrived != checksum:
        cause = "checksum differs: hardware offloads of a gateway's network card"
        return Result(
            name=TRANSFER, subject=subject, ok=False, detail="altered", cause=cause, seconds=seconds
        )
    speed = f"{LARGE} MB at {LARGE / seconds:.0f} MB/s, checksum right"
    return Result(name=TRANSFER, subject=subject, ok=True, detail=speed, seconds=seconds)


def lan(
    cluster: Cluster, region: Region, pods: Mapping[str, Pod], devices: Mapping[str, Pod]
) -> Result | None:
    """
    20 MB inside a region: with gateways they must not show on a tunnel, with `mode: per-node` on that of both ends.
    None where a region has one node only.
    """
    ends = [node for node in region.ordinary_first if node.name in pods][:2]
    if len(ends) < 2:
        return None
    source, to = (pods[node.name] for node in ends)
    name = LAN if region.mode == "gateway" else ENCRYPTED
    if make_file(cluster, source, SMALL) is None:
        cause = f"/data on {source.node}"
        return Result(name=name, subject=region.name, ok=False, detail="no file to send", cause=cause)
    ours = region.devices if region.mode == "gateway" else ends
    watched = [devices[node.name] for node in ours if node.name in devices]
    return _Inside(cluster, region, ends, watched, name).judge(lambda: fetch(cluster, to, source, SMALL))


@dataclass(frozen=True)
class _Inside:
    """A transfer inside a region, and the tunnels that are watched meanwhile."""

    cluster: Cluster
    region: Region
    ends: list[Node]
    watched: list[Pod]
    name: str

    def judge(self, move: Callable[[], tuple[str | None, float, Run]]) -> Result:
        pair = f"{self.ends[0].name} to {self.ends[1].name}"
        seen: list[int] = []
        # Other traffic may cross at the same moment; a misrouted LAN shows every time.
        for _ in range(3):
            before = [tunnel_bytes(self.cluster, pod) for pod in self.watched]
            arrived, seconds, run = move()
            after = [tunnel_bytes(self.cluster, pod) for pod in self.watched]
            if arrived is None:
                return self._failed("transfer broke", f"{pair}: {run.trouble}: the LAN or its routes")
            if not self.watched or None in before or None in after:
                cause = "no pod of Tailscale to ask, or it has no tailscale0"
                return self._failed("tunnel not measured", cause)
            seen = [(b or 0) - (a or 0) for a, b in zip(before, after, strict=True)]
            if self._as_it_should(seen):
                most = max(seen) / 1e6
                detail = f"{SMALL} MB {pair} at {SMALL / seconds:.0f} MB/s, {most:.1f} MB on the tunnel"
                return Result(
                    name=self.name, subject=self.region.name, ok=True, detail=detail, seconds=seconds
                )
        return self._failed(*self._wrong_way(seen))

    def _as_it_should(self, seen: list[int]) -> bool:
        if self.name == ENCRYPTED:
            return min(seen) >= SMALL * 1_000_000
        return max(seen) < SMALL * 1_000_000 / 2

    def _wrong_way(self, seen: list[int]) -> tuple[str, str]:
        if self.name == ENCRYPTED:
            return (
                f"{min(seen) / 1e6:.0f} of {SMALL} MB on a tunnel",
                f"machines of {self.region.name} send to each other in plain text: a rule before Tailscale's 5270 "
                "or a route in main takes the region's addresses",
            )
        return (
            f"{max(seen) / 1e6:.0f} MB on a tunnel",
            f"a gateway of {self.region.name} sends its own region's CIDRs into the tunnel: the ip rule to table main "
            "before Tailscale's 5210 is missing",
        )

    def _failed(self, detail: str, cause: str) -> Result:
        return Result(name=self.name, subject=self.region.name, ok=False, detail=detail, cause=cause)
