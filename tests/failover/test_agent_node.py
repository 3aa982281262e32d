"""A node's choice of gateways: at once away from a bad one, back after a hold, and never to nothing."""

from __future__ import annotations

from agent.config import Timing
from agent.core.node import Heard, NodeCore
from agent.wire import Beat

TIMING = Timing()
NAMES = ["gw-1", "gw-2"]


def beat(name: str, *, well: bool = True, drain: bool = False, unfit: tuple[str, ...] = ()) -> Beat:
    return Beat(sender=name, boot="", beat=1, well=well, drain=drain, unfit=unfit)


def choose(
    core: NodeCore, now: float, *beats: Beat | None, ages: tuple[float, float] = (0.0, 0.0)
) -> tuple[int, ...]:
    heard = [Heard(now - age, said) if said else Heard() for said, age in zip(beats, ages, strict=True)]
    return core.choose(heard, now)


def both() -> NodeCore:
    core = NodeCore(NAMES, TIMING, started=0.0)
    for number in range(60):
        choose(core, number * 0.1, beat("gw-1"), beat("gw-2"))
    assert core.current == (0, 1)
    return core


def test_eight_lost_beats_change_nothing_and_the_ninth_does() -> None:
    core = both()
    eight, ten = 9.2 * TIMING.beat, 10 * TIMING.beat
    assert choose(core, 6.0, beat("gw-1"), beat("gw-2"), ages=(eight, 0.0)) == (0, 1)
    assert choose(core, 6.1, beat("gw-1"), beat("gw-2"), ages=(ten, 0.0)) == (1,)


def test_a_gateway_that_drains_or_is_not_well_is_left_at_once() -> None:
    assert choose(both(), 6.0, beat("gw-1", drain=True), beat("gw-2")) == (1,)
    assert choose(both(), 6.0, beat("gw-1"), beat("gw-2", well=False)) == (0,)


def test_a_gateway_that_returns_waits_for_its_hold() -> None:
    core = both()
    choose(core, 6.0, None, beat("gw-2"))
    assert choose(core, 6.1, beat("gw-1"), beat("gw-2")) == (1,)
    assert choose(core, 6.1 + TIMING.node_hold - 0.1, beat("gw-1"), beat("gw-2")) == (1,)
    assert choose(core, 6.1 + TIMING.node_hold, beat("gw-1"), beat("gw-2")) == (0, 1)


def test_a_gateway_that_flaps_waits_longer_each_time() -> None:
    core, now, holds = both(), 6.0, []
    for _ in range(3):
        now += 0.1
        choose(core, now, None, beat("gw-2"))
        back = now
        while core.current != (0, 1):
            now += 0.1
            choose(core, now, beat("gw-1"), beat("gw-2"))
        holds.append(now - back)
    assert holds[0] < holds[1] < holds[2]


def test_a_node_that_hears_nobody_changes_nothing() -> None:
    core = both()
    assert choose(core, 6.0, None, None) == (0, 1)
    assert choose(core, 600.0, None, None) == (0, 1)


def test_when_all_it_uses_are_gone_the_first_that_returns_is_used_at_once() -> None:
    core = both()
    choose(core, 6.0, None, beat("gw-2"))
    assert choose(core, 7.0, None, None) == (1,)
    assert choose(core, 7.1, beat("gw-1"), None) == (0,)


def test_two_that_drain_at_once_are_both_kept() -> None:
    assert choose(both(), 6.0, beat("gw-1", drain=True), beat("gw-2", drain=True)) == (0, 1)


def test_a_partners_word_moves_a_node_away_from_a_gateway_that_does_not_forward() -> None:
    assert choose(both(), 6.0, beat("gw-1"), beat("gw-2", unfit=("gw-1",))) == (1,)


def test_gateways_that_accuse_each_other_are_both_used() -> None:
    accusing = beat("gw-1", unfit=("gw-2",)), beat("gw-2", unfit=("gw-1",))
    assert choose(both(), 6.0, *accusing) == (0, 1)


def test_the_word_of_a_gateway_that_is_not_well_itself_counts_nothing() -> None:
    assert choose(both(), 6.0, beat("gw-1"), beat("gw-2", well=False, unfit=("gw-1",))) == (0,)


def test_a_restarted_agent_keeps_what_the_kernel_has_until_it_could_have_heard() -> None:
    core = NodeCore(NAMES, TIMING, started=0.0, current=(0, 1))
    assert choose(core, 0.1, beat("gw-1"), None) == (0, 1)
    assert choose(core, 2.0, beat("gw-1"), None) == (0,)


def test_the_first_gateway_that_a_new_node_hears_is_used_at_once() -> None:
    core = NodeCore(NAMES, TIMING, started=0.0)
    assert choose(core, 0.1, None, None) == ()
    assert choose(core, 0.2, None, beat("gw-2")) == (1,)
