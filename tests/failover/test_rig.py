"""The network-only lab: up in seconds, gone without a trace, and true to what is known about gateways without an agent.

It lives in a world of its own and needs no lab that is up.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import leftovers
from lab.rig import result
from lab.rig.result import Result
from lab.rig.world import children
from tests.lab.stand import FIGURES, until
from tools import paths

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

RIG = [sys.executable, "-m", "lab.rig"]
# Alone on the host it takes three.
UP_WITHIN = 15.0
ASYMMETRIC = {("hub-gw-1", "gpu-gw-1"), ("hub-gw-1", "gpu-gw-2"), ("hub-gw-2", "gpu-gw-1")}


def rig(*words: str | Path) -> str:
    done = subprocess.run(
        [*RIG, *map(str, words)],
        cwd=paths.repo_root(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def descendants(pid: int) -> set[int]:
    """As this host numbers them, also in namespaces that number them anew."""
    below = set(children(pid))
    return below.union(*(descendants(child) for child in below))


@pytest.fixture
def untouched() -> Iterator[None]:
    """The host after the test is as it was before."""
    before = leftovers.snapshot()
    yield
    assert leftovers.diff(before, leftovers.snapshot()) == {}


def test_the_rig_comes_up_in_seconds_and_leaves_nothing(untouched: None) -> None:
    told = rig("up")
    found = re.search(r"8 machines, 4 gateways: ([\d.]+) s", told)
    assert found, told
    FIGURES.append(f"network-only lab, 8 machines and 4 gateways in the tailnet: {found[1]} s")
    assert float(found[1]) <= UP_WITHIN


def test_a_killed_driver_takes_everything_with_it(untouched: None, tmp_path: Path) -> None:
    script, up = tmp_path / "wait.py", tmp_path / "up"
    script.write_text(
        "import pathlib, time\n"
        "from lab.rig.plan import Shape\n"
        "from lab.rig.rig import Rig\n"
        f"Rig(Shape()).up(); pathlib.Path({str(up)!r}).touch(); time.sleep(60)\n"
    )
    driver = subprocess.Popen([*RIG, "experiment", str(script)], cwd=paths.repo_root())
    until("the rig is up", up.exists, 60)
    started = descendants(driver.pid)
    names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in started}
    assert {"headscale", "tailscaled", "containerboot"} <= names
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    until("all of them are gone", lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), 5)


def test_a_polite_end_waits_until_everything_is_gone(untouched: None, tmp_path: Path) -> None:
    script, up = tmp_path / "wait.py", tmp_path / "up"
    script.write_text(f"import pathlib, time\npathlib.Path({str(up)!r}).touch()\ntime.sleep(60)\n")
    driver = subprocess.Popen([*RIG, "experiment", str(script)], cwd=paths.repo_root())
    until("the script runs", up.exists, 30)
    started = descendants(driver.pid)
    driver.terminate()
    assert driver.wait(10) == 128 + signal.SIGTERM
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)


@pytest.mark.parametrize("lan", ["l2", "routed"])
def test_every_pair_of_gateways_carries_tcp_udp_and_icmp(lan: str) -> None:
    pairs = json.loads(rig("pairs", "--lan", lan))
    assert {(pair["out"], pair["back"]) for pair in pairs} == {*ASYMMETRIC, ("hub-gw-2", "gpu-gw-2")}
    assert all(pair["tcp"] and pair["udp"] and pair["icmp"] for pair in pairs), pairs


def test_without_notrack_a_flow_that_returns_another_way_is_dropped() -> None:
    pairs: list[dict[str, Any]] = json.loads(rig("pairs", "--without-notrack"))
    asymmetric = [pair for pair in pairs if (pair["out"], pair["back"]) in ASYMMETRIC]
    assert len(asymmetric) == 3
    assert not any(pair["tcp"] or pair["icmp"] for pair in asymmetric), pairs


def test_a_fresh_tailscaled_opens_its_sockets_anew_before_it_is_trusted() -> None:
    """Left alone it does so at the next event of the kernel's, whenever that is, and loses what arrives then."""
    told = json.loads(rig("experiment", Path(__file__).with_name("rebind_experiment.py")).splitlines()[-1])
    assert told["within the hold"] >= 1
    assert told["after it"] == 0


def test_both_gateways_of_a_region_carry_what_leaves_it_and_what_comes_in() -> None:
    """More flows than the 64 of the goal: chance alone would put those outside of the bounds now and then."""
    told = rig("shares", "--flows", "256")
    found = re.findall(r"gpu-gw-\d: (\d+)% of what leaves the region, (\d+)% of what comes in", told)
    assert len(found) == 2, told
    assert all(35 <= int(share) <= 65 for pair in found for share in pair), told


def test_what_agents_need_is_measured_on_every_machine() -> None:
    told = rig("agents", "--seconds", "5")
    found = re.findall(
        r"^([\w-]+), (control-plane|worker|gateway): ([\d.]+)% of a core, (\d+) MiB$", told, re.MULTILINE
    )
    gateways = [float(core) for _, role, core, _ in found if role == "gateway"]
    nodes = [float(core) for _, role, core, _ in found if role != "gateway"]
    assert len({name for name, *_ in found}) == 8
    assert len(gateways) == len(nodes) == 4, told
    for what, shares in {"node": nodes, "gateway": gateways}.items():
        assert min(shares) > 0, told
        FIGURES.append(f"agent of a {what}: {min(shares):.1f} to {max(shares):.1f}% of a core")
    assert all(int(mib) <= 60 for *_, mib in found), told


def test_throughput_is_measured_on_every_path_the_nodes_own_devices_among_them() -> None:
    told = rig("throughput")
    found = dict(re.findall(r"^(.*): ([\d.]+) Gbit/s, [\d.]+ s of processor per GB$", told, re.MULTILINE))
    through, nested = "pod to pod, through the gateways", "pod to pod, VXLAN nested in the tunnel"
    own = "pod to pod, tailscaled on both nodes (per-node mode)"
    assert set(found) == {"gateway to gateway, over the same tunnel", through, nested, own}
    assert all(float(speed) > 0 for speed in found.values()), told
    # Directly between the nodes: by way of a relay it would be a fraction.
    assert float(found[own]) > float(found[through]) / 10


def article(tmp_path: Path, *events: str) -> dict[str, Result]:
    """The article's setup through some events, by event."""
    file = tmp_path / "article.jsonl"
    rig("measure", "article", file, "--events", ",".join(events), "--patience", "4")
    return {one.event: one for one in result.read([file])}


def test_the_articles_equal_routes_lose_flows_while_nothing_is_wrong(tmp_path: Path) -> None:
    seen = article(tmp_path, "nothing", "lan_dead")
    # A flow works if its way out and its way back both pass the owner of the prefix, and hashing decides.
    assert seen["nothing"].lost["in"] + seen["nothing"].lost["out"] > 0
    assert not seen["nothing"].recovered
    # Its owner cut from its LAN is online for the control server: nobody ever takes over.
    assert seen["lan_dead"].working > 0
    assert not seen["lan_dead"].recovered
    assert seen["lan_dead"].lost_inside == 0


def test_the_rig_says_what_it_lacks(tmp_path: Path) -> None:
    missing = subprocess.run(
        [*RIG, "up"],
        cwd=paths.repo_root(),
        env=os.environ | {"TAILSPAN_HOME": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert missing.returncode == 1
    assert "no machine image: run `python -m tools lab`" in missing.stderr
    assert "headscale: not in" in missing.stderr
