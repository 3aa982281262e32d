"""SSH machines that cannot be reached or are not who they should be: named, in bounded time, and without harm."""

from __future__ import annotations

import pytest

from tests.lab import witness
from tests.lab.stand import FIGURES, DoomedUp, Stand, all_ready, tailnet_devices

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def said(doomed_up: DoomedUp) -> str:
    """What `up` says of a region of two such machines."""
    text, seconds = doomed_up.result(within=200)
    FIGURES.append(f"an unreachable SSH machine is given up after {seconds:.0f} s")
    return " ".join(text.split())


def test_a_wrong_host_key_stops_before_anything_is_sent(said: str) -> None:
    assert "tx-a-bootstrap: SSH: " in said
    assert "shows another host key than the stack expects; no secret was sent" in said


def test_an_unreachable_machine_is_named_with_the_step(said: str) -> None:
    assert "tx-b-bootstrap: SSH: cannot reach 198.51.100.2:22 after" in said
    assert "Connection refused" in said


def test_the_stack_converges_without_them(dev: Stand, said: str) -> None:
    done = dev.up()
    changed = {
        line.split()[-3] for line in done.text.splitlines() if " ~ updated " in line or " - deleted " in line
    }
    assert {"tx-a-key"} <= changed <= {"tx-a-key", "tx", "addresses", "tailnet-policy"}
    assert all_ready()
    assert sorted(tailnet_devices()) == ["gpu-a", "gpu-b", "hub-gw-1", "hub-gw-2"]
    witness.sees("gpu-c", "hub-cp-1")
