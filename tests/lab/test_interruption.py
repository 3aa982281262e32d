"""`up` killed at any moment: the next one converges, and `down` cleans."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from lab import cloud, leftovers
from tests.lab import witness
from tests.lab.stand import (
    FIGURES,
    MACHINES,
    Stand,
    all_ready,
    command,
    kill_tree,
    nodes,
    running,
    tail,
    tailnet_devices,
    until,
)

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

UP = ["-m", "lab", "up"]
# What a run says when it is in the middle of it, how long after that it dies, and who dies: the launcher, its
# engine and all plugins at one moment; or the launcher alone.
POINTS = [
    (r"created lab:Machine ", 0.0, "everybody"),
    (r"\[hub-cp-1\] kubeadm init", 4.0, "everybody"),
    (r"hub-gw-[12]-join: node .* approved", 0.0, "the launcher"),
    (r"hub-subnet-router-daemonset: waiting", 1.0, "everybody"),
    (r"gpu-[ab]-join: node .* approved", 0.5, "everybody"),
]


def kill_at(stand: Stand, name: str, moment: str, delay: float, whom: str) -> None:
    log = stand.logs / f"{name}.log"
    with running(UP, log) as process:
        deadline = time.monotonic() + 120
        while not re.search(moment, log.read_text(errors="replace")):
            ended = process.poll()
            assert ended is None, f"the run ended ({ended}) before {moment!r}:\n{tail(log)}"
            assert time.monotonic() < deadline, f"{moment!r} never came:\n{tail(log)}"
            time.sleep(0.05)
        time.sleep(delay)
        assert process.poll() is None, "the run ended before it was killed"
        if whom == "everybody":
            kill_tree(process)
        else:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)


def test_down_right_after_a_killed_up_leaves_nothing(stand: Stand) -> None:
    cloud.down()
    before = leftovers.snapshot()
    kill_at(stand, "killed-for-down", r"created lab:Machine ", 0.3, "everybody")
    begun = time.monotonic()
    done = command(["-m", "lab", "down"], stand.logs / "down-1.log", 60)
    assert done.code == 0, done.tail
    assert time.monotonic() - begun < 20
    assert leftovers.of_the_lab() == {}
    assert leftovers.diff(before, leftovers.snapshot()) == {}


def test_down_of_nothing_is_fine(stand: Stand) -> None:
    for number in (2, 3):
        done = command(["-m", "lab", "down"], stand.logs / f"down-{number}.log", 30)
        assert done.code == 0, done.tail


@pytest.mark.parametrize("number", range(len(POINTS)), ids=[whom for *_, whom in POINTS])
def test_a_run_is_killed_and_the_next_goes_on(stand: Stand, number: int) -> None:
    """One growing run: each is killed further on, and nothing is tidied up in between."""
    kill_at(stand, f"killed-{number}", *POINTS[number])


def test_the_last_run_converges(stand: Stand) -> None:
    done = command(UP, stand.logs / "converges.log", 240)
    assert done.code == 0, done.tail
    assert "cut off while" in done.text, "nothing was pending: the kills came at idle moments"
    until("all machines are Ready", all_ready, 60)
    assert sorted(nodes()) == sorted(MACHINES)
    assert sorted(tailnet_devices()) == ["gpu-a", "gpu-b", "hub-gw-1", "hub-gw-2"]
    again = stand.up()
    assert "no changes" in again.text, again.tail


def test_what_converged_works(stand: Stand) -> None:
    witness.start()
    witness.sees("gpu-c", "hub-gw-2", within=60)
    witness.sees("hub-gw-2", "gpu-c")


def test_down_of_a_running_stack_is_quick(stand: Stand) -> None:
    done = command(["-m", "lab", "down"], stand.logs / "down-4.log", 60)
    assert done.code == 0, done.tail
    assert done.seconds < 20
    FIGURES.append(f"`python -m lab down`: {done.seconds:.1f} s")
    assert leftovers.of_the_lab() == {}
