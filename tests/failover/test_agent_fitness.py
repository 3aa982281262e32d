"""What a gateway makes of one partner's silence, at the moments where two kinds of silence look alike."""

from __future__ import annotations

import pytest

from agent.config import Timing
from agent.core.claims import Claims
from agent.core.fitness import NOT_FORWARDING, Judge, Own, Partner, Verdict
from agent.core.gateway import Decision, GatewayCore
from agent.core.node import Heard
from agent.ladder import orders
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


ME, PARTNER, NODE = "10.0.0.20", "10.0.0.21", "10.0.0.30"
# Both work until the silence begins.
BEGIN, END = 20.0, 25.0
STEP = TIMING.beat


class Region:
    """The first of two gateways, and a node; what it has heard is set step by step."""

    def __init__(self) -> None:
        self.core = GatewayCore(
            ["gw-1", "gw-2"], {"gw-1": ME, "gw-2": PARTNER}, 0, TIMING, 0.0, Claims(0, orders(2))
        )
        self.now, self.beaten, self.probed, self.node = 0.0, 0.0, 0.0, 0.0
        self.node_hears_it = True

    def run(
        self, until: float, *, beats: bool = True, probes: bool = True, node: bool = True
    ) -> list[Decision]:
        found = []
        while self.now < until:
            self.now += STEP
            self.beaten = self.now if beats else self.beaten
            self.probed = self.now if probes else self.probed
            self.node = self.now if node else self.node
            found.append(self._decide())
        return found

    def _decide(self) -> Decision:
        partner = Partner(
            lan=Heard(self.beaten, BEAT),
            via={"far": self.probed},
            reached={"far": self.probed},
            witness=self.node if self.node_hears_it else None,
        )
        own = Own(direct={"far": self.now}, members={PARTNER: self.beaten, NODE: self.node})
        return self.core.decide({"gw-2": partner}, own, [{(0, 1): 0}, {(1, 0): 0}], self.now)


def blamed(decisions: list[Decision]) -> set[str]:
    return {name for one in decisions for name in one.unfit} | {
        str(one.claims) for one in decisions if one.claims
    }


@pytest.mark.parametrize("beats_first", [True, False])
def test_a_lan_that_is_back_is_no_reason_to_blame_the_partner(beats_first: bool) -> None:
    """The node answers before the partner is heard, or the partner's beats come before its probes pass again."""
    region = Region()
    region.run(BEGIN)
    assert blamed(region.run(END, beats=False, probes=False, node=False)) == set()
    region.node_hears_it = False
    assert blamed(region.run(END + 1.1, beats=beats_first, probes=False)) == set()
    assert blamed(region.run(END + 4.0)) == set()


@pytest.mark.parametrize("beats", [True, False])
def test_a_partner_that_is_gone_when_the_lan_is_back_is_found_all_the_same(beats: bool) -> None:
    region = Region()
    region.run(BEGIN)
    region.run(END, beats=False, probes=False, node=False)
    region.node_hears_it = False
    assert "gw-2" in blamed(region.run(END + 2.0, beats=beats, probes=False))


def test_a_partner_that_falls_silent_again_at_once_is_found_without_delay() -> None:
    region = Region()
    region.run(BEGIN)
    region.run(END, beats=False, probes=False)
    region.run(END + 0.3, probes=False)
    region.node_hears_it = False
    assert "gw-2" in blamed(region.run(END + 0.3 + TIMING.silence + 2 * STEP, beats=False, probes=False))


def test_gateways_that_hear_each_other_again_do_not_blame_each_other() -> None:
    """Cut from each other only; the first beat arrives a moment before the first probe passes."""
    region = Region()
    region.run(BEGIN)
    assert blamed(region.run(END, beats=False, probes=False)) == set()
    assert blamed(region.run(END + 1.1, probes=False)) == set()
    assert blamed(region.run(END + 4.0)) == set()


def test_a_partner_that_stops_forwarding_is_found_without_delay() -> None:
    """Its beats never ceased, so nothing is waited for."""
    region = Region()
    region.run(BEGIN)
    assert "gw-2" in blamed(region.run(BEGIN + TIMING.silence + 2 * STEP, probes=False))
