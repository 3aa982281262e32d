"""Bulk transfers between two pods: complete, unaltered, how fast; and whether a LAN's traffic stays there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from check.cluster import Cluster, Pod, Run
from check.links import tunnel_bytes
from check.manifests import FILES
from check.result import Result
from check.stack import Node, Region

TRANSFER, LAN = "transfer", "LAN traffic stays on the LAN"
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
    cluster: Cluster, region: Region, pods: Mapping[str, Pod], gateways: Mapping[str, Pod]
) -> Result | None:
    """20 MB inside a region must not show on its gateways' tunnels; None where a region has one node only."""
    ends = [node for node in region.ordinary_first if node.name in pods][:2]
    if len(ends) < 2:
        return None
    source, to = (pods[node.name] for node in ends)
    if make_file(cluster, source, SMALL) is None:
        return Result(
            name=LAN, subject=region.name, ok=False, detail="no file to send", cause=f"/data on {source.node}"
        )
    watched = [gateways[node.name] for node in region.gateways if node.name in gateways]
    return _judge_lan(region, ends, watched, lambda: fetch(cluster, to, source, SMALL), cluster)


def _judge_lan(
    region: Region,
    ends: list[Node],
    watched: list[Pod],
    move: Callable[[], tuple[str | None, float, Run]],
    cluster: Cluster,
) -> Result:
    subject, pair = region.name, f"{ends[0].name} to {ends[1].name}"
    most = 0
    # Other traffic may cross at the same moment; a misrouted LAN shows every time.
    for _ in range(3):
        before = [tunnel_bytes(cluster, pod) for pod in watched]
        arrived, seconds, run = move()
        after = [tunnel_bytes(cluster, pod) for pod in watched]
        if arrived is None:
            cause = f"{pair}: {run.trouble}: the LAN or its routes"
            return Result(name=LAN, subject=subject, ok=False, detail="transfer broke", cause=cause)
        if not watched or None in before or None in after:
            cause = "no gateway pod to ask, or it has no tailscale0"
            return Result(name=LAN, subject=subject, ok=False, detail="tunnel not measured", cause=cause)
        most = max(0, *((b or 0) - (a or 0) for a, b in zip(before, after, strict=True)))
        if most < SMALL * 1_000_000 / 2:
            detail = f"{SMALL} MB {pair} at {SMALL / seconds:.0f} MB/s, {most / 1e6:.1f} MB on the tunnel"
            return Result(name=LAN, subject=subject, ok=True, detail=detail, seconds=seconds)
    cause = (
        f"a gateway of {region.name} sends its own region's CIDRs into the tunnel: the ip rule to table main "
        "before Tailscale's 5210 is missing"
    )
    return Result(name=LAN, subject=subject, ok=False, detail=f"{most / 1e6:.0f} MB on a tunnel", cause=cause)
