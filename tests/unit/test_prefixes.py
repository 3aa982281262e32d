"""The ladder: covering prefixes for the senders, tiles that share what comes in, and deeper rungs to take over."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, collapse_addresses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import Block, Ladder
from agent.core.layout import Layout
from agent.ladder import Claim, claim, deepest_rung, node_tile_length, orders, tile_at, tile_length, tiles
from network.prefixes import (
    LONGEST_POD_PREFIX,
    MAX_GATEWAYS,
    ladder,
    longest_node_block,
    longest_pod_block,
    prefix_count,
    probe_address,
    probe_block,
    probe_room,
)


@st.composite
def blocks_with_gateways(draw: st.DrawFn, least: int = 1) -> tuple[IPv4Network, int]:
    gateways = draw(st.integers(least, MAX_GATEWAYS))
    prefix = draw(st.integers(8, longest_node_block(gateways)))
    bits = draw(st.integers(0, 2**32 - 1))
    return IPv4Network((bits >> (32 - prefix) << (32 - prefix), prefix)), gateways


@settings(max_examples=100, deadline=None)
@given(blocks_with_gateways(least=2))
def test_tiles_fill_the_block_below_every_covering_prefix(drawn: tuple[IPv4Network, int]) -> None:
    block, gateways = drawn
    found = tiles(block, gateways)
    assert list(collapse_addresses(tile.prefix for tile in found)) == [block]
    longest_cover = ladder(block, gateways)[-1][0].prefixlen
    for tile in found:
        assert sorted(tile.order) == list(range(gateways))
        assert longest_cover < tile.prefix.prefixlen <= 32 - deepest_rung(gateways)


@settings(max_examples=100, deadline=None)
@given(blocks_with_gateways())
def test_every_gateway_covers_the_block_and_no_two_share_a_prefix(drawn: tuple[IPv4Network, int]) -> None:
    block, gateways = drawn
    rungs = ladder(block, gateways)
    assert len(rungs) == gateways
    for rung in rungs:
        assert list(collapse_addresses(rung)) == [block]
    prefixes = [prefix for rung in rungs for prefix in rung]
    assert len(set(prefixes)) == len(prefixes) == 2**gateways - 1


@settings(max_examples=50, deadline=None)
@given(blocks_with_gateways(least=2))
def test_a_further_gateway_changes_no_covering_prefix_of_the_others(drawn: tuple[IPv4Network, int]) -> None:
    block, gateways = drawn
    assert ladder(block, gateways)[:-1] == ladder(block, gateways - 1)


def test_gateways_cover_by_the_block_its_halves_and_its_quarters() -> None:
    rungs = [[str(prefix) for prefix in rung] for rung in ladder(IPv4Network("10.1.0.0/24"), 3)]
    assert rungs == [
        ["10.1.0.0/24"],
        ["10.1.0.0/25", "10.1.0.128/25"],
        ["10.1.0.0/26", "10.1.0.64/26", "10.1.0.128/26", "10.1.0.192/26"],
    ]


NODES, PODS = IPv4Network("10.1.0.0/24"), IPv4Network("10.128.0.0/16")


@pytest.mark.parametrize("gateways", [2, 3, 4])
@pytest.mark.parametrize("count", [0, 9, 40, 200])
def test_the_plan_counts_what_gateways_advertise_and_what_one_of_them_takes_over(
    gateways: int, count: int
) -> None:
    own = tuple(IPv4Network(f"10.128.{20 + number}.0/24") for number in range(gateways))
    blocks = (
        Block(prefix=NODES, own=tuple(IPv4Network(f"10.1.0.{20 + number}") for number in range(gateways))),
        Block(prefix=PODS, longest=LONGEST_POD_PREFIX, own=own, node=24),
    )
    probes = tuple(tuple(probe_address(PODS, i, j) for j in range(gateways)) for i in range(gateways))
    layouts = [Layout(Ladder(blocks=blocks, probes=probes), gateways, me) for me in range(gateways)]
    for layout in layouts:
        for host in range(30, 30 + count):
            layout.populate(f"10.128.{host}.0/24", 0.0, heard=True)
    calm = sum(len(layout.advertised({})) for layout in layouts)
    lost = {order: 1 for order in layouts[1].orders if order[0] == 0}
    taken = len(layouts[1].advertised(lost)) - len(layouts[1].advertised({}))
    planned = prefix_count(NODES, PODS, gateways, count + gateways, 24)
    assert 0.85 * planned <= calm + taken <= planned


def test_one_gateway_advertises_its_blocks_and_its_probe_addresses_and_nothing_else() -> None:
    assert ladder(NODES, 1) == ((NODES,),)
    assert tiles(NODES, 1) == ()
    assert prefix_count(NODES, PODS, 1, 50, 24) == 3


@pytest.mark.parametrize(("gateways", "longest"), [(1, 30), (2, 28), (3, 26), (4, 24)])
def test_a_block_has_room_for_covers_tiles_and_every_take_over(gateways: int, longest: int) -> None:
    assert longest_node_block(gateways) == longest
    if gateways > 1:
        tiles(IPv4Network((0, longest)), gateways)
        with pytest.raises(ValueError, match=f"write a range of at most /{longest}"):
            tiles(IPv4Network((0, longest + 1)), gateways)


@pytest.mark.parametrize("gateways", [2, 3])
@pytest.mark.parametrize("first", [10, 11, 30, 100])
@pytest.mark.parametrize("count", [8, 40, 150])
def test_clusters_that_fill_their_ranges_from_one_end_are_shared(
    gateways: int, first: int, count: int
) -> None:
    """A division by the first bits, or by 16 parts, would give most of a small cluster to one gateway."""
    length = node_tile_length(PODS, gateways, 24, LONGEST_POD_PREFIX)
    assert length == 24
    nodes = [
        IPv4Network((int(PODS.network_address) + (host << 8), 24)) for host in range(first, first + count)
    ]
    homes = [tile_at(PODS, node, gateways).order[0] for node in nodes]
    for gateway in range(gateways):
        assert 0.7 / gateways <= homes.count(gateway) / count <= 1.3 / gateways


@pytest.mark.parametrize("gateways", [2, 3, 4])
def test_rungs_of_node_tiles_and_of_the_16_parts_never_meet(gateways: int) -> None:
    for prefix in range(8, longest_pod_block(gateways) + 1):
        block = IPv4Network((0, prefix))
        for node in range(prefix + 1, 31):
            parts = tile_length(block, gateways, LONGEST_POD_PREFIX, node)
            assert prefix + gateways <= parts <= LONGEST_POD_PREFIX - deepest_rung(gateways)
            length = node_tile_length(block, gateways, node, LONGEST_POD_PREFIX)
            if length is not None:
                assert parts + deepest_rung(gateways) < length
                assert length + deepest_rung(gateways) < 30


def test_what_lies_on_a_gateway_is_at_home_there() -> None:
    own = (IPv4Network("10.128.11.0/24"), IPv4Network("10.128.10.0/24"))
    assert [tile_at(PODS, prefix, 2, own).order[0] for prefix in own] == [0, 1]
    # The negative control: by their numbers alone the homes would be the others.
    assert [tile_at(PODS, prefix, 2).order[0] for prefix in own] == [1, 0]


@pytest.mark.parametrize("gateways", [2, 3, 4])
def test_a_dead_gateways_tiles_go_to_the_others_in_equal_parts(gateways: int) -> None:
    found = tiles(IPv4Network("10.0.0.0/20"), gateways)
    for home in range(gateways):
        heirs = [tile.order[1] for tile in found if tile.order[0] == home]
        counts = [heirs.count(heir) for heir in range(gateways) if heir != home]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("gateways", [1, 2, 3, 4])
def test_the_orders_are_those_that_tiles_have(gateways: int) -> None:
    found = tiles(IPv4Network("10.0.0.0/20"), gateways)
    assert {tile.order for tile in found} == set(orders(gateways))


def test_addresses_for_probes_lie_in_the_pod_range_that_no_node_has() -> None:
    blocks = [probe_block(PODS, gateway) for gateway in range(MAX_GATEWAYS)]
    assert [str(block) for block in blocks] == [f"10.128.0.{host}/30" for host in (4, 8, 12, 16)]
    assert str(probe_address(PODS, 2, 3)) == "10.128.0.15"
    # Inside the range of host 0 as long as a node's range is as large as that.
    for gateways in range(1, MAX_GATEWAYS + 1):
        first = next(PODS.subnets(new_prefix=probe_room(gateways)))
        assert all(probe_block(PODS, gateway).subnet_of(first) for gateway in range(gateways))
    assert [probe_room(gateways) for gateways in range(1, 5)] == [29, 28, 28, 27]
    # Longer than whatever a take-over advertises, so it is the gateway's alone.
    for gateways in range(2, MAX_GATEWAYS + 1):
        for prefix in range(8, longest_pod_block(gateways) + 1):
            block = IPv4Network((0, prefix))
            assert tile_length(block, gateways, LONGEST_POD_PREFIX) + deepest_rung(gateways) < 30


# One tile's history: who is alive, and the deepest rung that each gateway has in the tailnet (-1: none).
History = tuple[frozenset[int], tuple[int, ...]]


def after(state: History, gateway: int) -> tuple[History, Claim | None]:
    """The gateway dies, or comes back; then the living settle. The dead keep what they had in the tailnet."""
    alive, rungs = state
    alive = alive - {gateway} if gateway in alive else alive | {gateway}
    order = range(len(rungs))
    lost = {one: rungs[one] for one in order if one not in alive and rungs[one] >= 0}
    claimed = claim(order, alive, lost)
    settled = [rungs[one] if one not in alive else 0 if one == 0 else -1 for one in order]
    if claimed:
        settled[claimed.gateway] = max(settled[claimed.gateway], claimed.rung)
    return (alive, tuple(settled)), claimed


def histories(gateways: int, steps: int, *, outages: bool) -> Iterator[tuple[History, Claim | None]]:
    """Every state that deaths and returns in any order lead to; with `outages` also through the death of all."""
    everyone: History = (frozenset(range(gateways)), (0, *[-1] * (gateways - 1)))
    seen, border = {everyone}, [everyone]
    for _ in range(steps):
        found = [after(state, gateway) for state in border for gateway in range(gateways)]
        found = [(state, claimed) for state, claimed in found if state[0] or outages]
        yield from found
        border = [state for state, _ in found if state not in seen]
        seen.update(border)


# How many deaths and returns in a row, in any order, a tile always survives, though nobody ever leaves the tailnet.
SURVIVED = [(2, 4, True), (2, 50, False), (3, 5, True), (4, 6, True)]


@pytest.mark.parametrize(("gateways", "steps", "outages"), SURVIVED)
def test_a_living_gateway_receives_every_tile_however_they_fail(
    gateways: int, steps: int, outages: bool
) -> None:
    for (alive, rungs), claimed in histories(gateways, steps, outages=outages):
        if not alive:
            assert claimed is None
            continue
        assert claimed is not None
        assert claimed.gateway in alive
        # The longest prefix receives, and the dead ones' are still there.
        longest = max(rungs)
        assert rungs[claimed.gateway] == longest <= deepest_rung(gateways)
        assert rungs.count(longest) == 1


@pytest.mark.parametrize("gateways", [2, 3, 4])
def test_no_two_gateways_ever_own_a_rung_and_none_lies_deeper_than_the_last(gateways: int) -> None:
    for (_, rungs), _ in histories(gateways, 14, outages=True):
        owned = [rung for rung in rungs if rung >= 0]
        assert len(set(owned)) == len(owned)
        assert max(owned, default=0) <= deepest_rung(gateways)


@pytest.mark.parametrize(("gateways", "steps"), [(2, 5), (3, 6), (4, 7)])
def test_the_ladder_ends_where_the_table_says(gateways: int, steps: int) -> None:
    """The negative control of SURVIVED: one step further a tile can be left to the control server."""
    states = histories(gateways, steps, outages=True)
    assert any(alive and claimed is None for (alive, _), claimed in states)


@pytest.mark.parametrize("gateways", [2, 3, 4])
def test_when_all_are_back_everything_is_as_in_the_beginning(gateways: int) -> None:
    for (alive, rungs), claimed in histories(gateways, 14, outages=True):
        if len(alive) == gateways:
            assert claimed == Claim(0, 0)
            assert rungs == (0, *[-1] * (gateways - 1))


def test_a_dead_one_that_has_left_the_tailnet_sets_no_floor() -> None:
    assert claim((0, 1), {1}, {0: 0}) == Claim(1, 1)
    assert claim((0, 1), {1}, {}) == Claim(1, 1)
    assert claim((0, 1), {0}, {1: 1}) == Claim(0, 2)
    assert claim((0, 1), {0}, {}) == Claim(0, 0)


def test_a_home_whose_agent_is_dead_keeps_its_tiles_but_takes_nothing() -> None:
    assert claim((0, 1, 2), {0, 1, 2}, {}, acting={1, 2}) == Claim(0, 0)
    assert claim((0, 1, 2), {1, 2}, {0: 0}, acting={2}) == Claim(2, 1)
    assert claim((0, 1, 2), {0, 1}, {2: 1}, acting={1}) == Claim(1, 2)
    assert claim((0, 1), {1}, {0: 0}, acting=()) is None
