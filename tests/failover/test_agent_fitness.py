"""What a gateway makes of one partner's silence, at the moments where two kinds of silence look alike."""

from __future__ import annotations

import pytest

from agent.config import Timing
from agent.core.fitness import NOT_FORWARDING, Judge, Own, Partner, Verdict
from agent.core.node import Heard
from agent.wire import Beat

TIMING = Timing()
DIED = 100.0
BEAT = Beat(sender="gw-2", boot="", beat=1)


def judged(now: float, *, beaten: float, probed: float) -> tuple[Verdict, str]:
    """A partner heard last over the LAN and probed last through its tunnel; the own tunnel works, all alone."""
    partner = Partner(lan=Heard(beaten, BEAT), via={"far": probed})
    own = Own(direct={"far": now - TIMING.beat}, members={"10.0.0.21": beaten})
    found = Judge(TIMING, now).partner(partner, own, "10.0.0.21")
    return found.verdict, found.reason


@pytest.mark.parametrize("between", [0.001, 0.04, 0.08, 0.2])
def test_where_the_lan_dies_the_partner_is_not_found_to_forward_nothing(between: float) -> None:
    """The last answered probe is a little older than the last beat; in between only the beats count as recent."""
    now = DIED - between + TIMING.silence + between / 2
    assert judged(now, beaten=DIED, probed=DIED - between)[0] is Verdict.KEEP


def test_a_partner_that_goes_on_beating_and_passes_no_probe_does_not_forward() -> None:
    now = DIED + TIMING.silence + 0.01
    assert judged(now, beaten=now - TIMING.beat, probed=DIED) == (Verdict.UNFIT, NOT_FORWARDING)
