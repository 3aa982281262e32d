"""200 nodes against one gateway's agent: what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.stand import FIGURES

# Every address that a node has, on the loopback of a namespace of their own.
NAMESPACE = """
ip link set lo up
for i in 20 21; do ip addr add 10.0.0.$i/32 dev lo; done
for i in $(seq 0 199); do echo "addr add 10.0.1.$((i+20))/32 dev lo"; done | ip -batch -
exec "$0" -m tests.failover.agent_crowd "$@"
"""


@pytest.mark.parametrize(
    ("words", "state"), [(("20",), "with 200 nodes"), (("10", "alone"), "with 200 nodes, its partner dead")]
)
def test_two_hundred_nodes_fit_one_gateway(tmp_path: Path, words: tuple[str, ...], state: str) -> None:
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", NAMESPACE, sys.executable, tmp_path, "200", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    FIGURES.append(f"agent {state}: {found['core']:.1%} of a core, {found['mib']:.0f} MiB")
    # Most of the 6.25 beats a second arrive, though sender and all receivers share this machine.
    assert found["beats"] > 4
    assert found["mib"] <= 60
    # 3 % is the goal on a machine that has time; here others may be at work, and every receiver's share counts as well.
    assert found["core"] <= 0.08
