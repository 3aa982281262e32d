"""The ladder: covering prefixes for the senders, tiles that share what comes in, and deeper rungs to take over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from heapq import heappop, heappush
from ipaddress import IPv4Network, collapse_addresses
from itertools import count as numbers
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import Block, Ladder
from agent.core.claims import Claims, Order
from agent.core.layout import Layout
from agent.ladder import (
    MOST_NODE_TILES,
    Claim,
    claim,
    deepest_rung,
    node_tile_length,
    orders,
    tile_at,
    tile_length,
    tiles,
)
from config.cluster import LARGEST_POD_RANGE, SMALLEST_POD_RANGE
from network.plan import node_pod_range
from network.prefixes import (
    LONGEST_POD_PREFIX,
    MAX_GATEWAYS,
    PrefixCount,
    ladder,
    longest_node_block,
    longest_pod_block,
    prefix_count,
    probe_address,
    probe_block,
    probe_room,
)
from network.rules import MOST_PREFIXES


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


@dataclass(frozen=True)
class Region:
    """A region as its gateways' agents know it: ranges, the hosts of its gateways, and those of its other nodes."""

    node_cidr: IPv4Network
    pod_cidr: IPv4Network
    node: int
    gateways: tuple[int, ...]
    others: tuple[int, ...] = ()

    def pods(self, host: int) -> IPv4Network:
        return node_pod_range(self.pod_cidr, self.node, host)

    @property
    def blocks(self) -> tuple[IPv4Network, IPv4Network]:
        return self.node_cidr, self.pod_cidr

    @property
    def count(self) -> PrefixCount:
        nodes = len(self.gateways) + len(self.others)
        return prefix_count(self.node_cidr, self.pod_cidr, len(self.gateways), nodes, self.node)

    def layouts(self) -> list[Layout]:
        """What the agent of each gateway makes of it, as bootstrap/agent.py configures them."""
        order = range(len(self.gateways))
        addresses = tuple(
            IPv4Network((int(self.node_cidr.network_address) + host, 32)) for host in self.gateways
        )
        pods = tuple(self.pods(host) for host in self.gateways)
        ladder = Ladder(
            blocks=(
                Block(prefix=self.node_cidr, own=addresses),
                Block(prefix=self.pod_cidr, longest=LONGEST_POD_PREFIX, own=pods, node=self.node),
            ),
            probes=tuple(tuple(probe_address(self.pod_cidr, one, other) for other in order) for one in order),
        )
        found = [Layout(ladder, len(self.gateways), me) for me in order]
        for layout in found:
            for host in self.others:
                layout.populate(str(self.pods(host)), 0.0, heard=True)
        return found


def default_region(gateways: int, others: int) -> Region:
    return Region(NODES, PODS, 24, tuple(range(20, 20 + gateways)), tuple(range(30, 30 + others)))


def all_rungs(region: Region) -> set[str]:
    """Whatever its gateways may ever advertise."""
    found: set[str] = set()
    for layout in region.layouts():
        for rung in range(1, deepest_rung(len(region.gateways)) + 1):
            found |= layout.advertised(dict.fromkeys(layout.orders, rung))
    return found


@pytest.mark.parametrize("gateways", [1, 2, 3, 4])
@pytest.mark.parametrize("others", [0, 9, 40, 200])
def test_the_plan_counts_what_gateways_advertise(gateways: int, others: int) -> None:
    region = default_region(gateways, others)
    usual = sum(len(layout.advertised({})) for layout in region.layouts())
    assert (usual, len(all_rungs(region))) == (region.count.usual, region.count.most)


def test_the_counts_in_default_ranges_are_those_that_the_limit_was_chosen_for() -> None:
    counts = [default_region(gateways, 20 - gateways).count for gateways in range(1, 5)]
    assert counts == [
        PrefixCount(3, 3),
        PrefixCount(40 + 20, 232 + 7 * 20),
        PrefixCount(49 + 20, 497 + 15 * 20),
        PrefixCount(66, 1026),
    ]
    assert default_region(2, 230).count.usual == 40 + 2 * MOST_NODE_TILES
    for count, stacks in ((counts[1], 128), (counts[3], 33)):
        assert (stacks - 1) * count.usual + count.most <= MOST_PREFIXES


def test_one_gateway_advertises_its_blocks_and_its_probe_addresses_and_nothing_else() -> None:
    assert ladder(NODES, 1) == ((NODES,),)
    assert tiles(NODES, 1) == ()
    (layout,) = default_region(1, 50).layouts()
    assert layout.advertised({}) == {str(NODES), str(PODS), "10.128.0.4/30"}


@pytest.mark.parametrize(("gateways", "longest"), [(1, 30), (2, 28), (3, 26), (4, 24)])
def test_a_block_has_room_for_covers_tiles_and_every_take_over(gateways: int, longest: int) -> None:
    assert longest_node_block(gateways) == longest
    if gateways > 1:
        tiles(IPv4Network((0, longest)), gateways)
        with pytest.raises(ValueError, match=f"write a range of at most /{longest}"):
            tiles(IPv4Network((0, longest + 1)), gateways)


@pytest.mark.parametrize(("gateways", "longest"), [(2, 25), (3, 23), (4, 21)])
def test_a_pod_block_has_room_for_probe_addresses_beside_them(gateways: int, longest: int) -> None:
    assert longest_pod_block(gateways) == longest
    tiles(IPv4Network((0, longest)), gateways, longest=LONGEST_POD_PREFIX)
    with pytest.raises(ValueError, match=f"write a range of at most /{longest}"):
        tiles(IPv4Network((0, longest + 1)), gateways, longest=LONGEST_POD_PREFIX)


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


def test_each_gateway_has_four_addresses_for_probes() -> None:
    blocks = [probe_block(PODS, gateway) for gateway in range(MAX_GATEWAYS)]
    assert [str(block) for block in blocks] == [f"10.128.0.{host}/30" for host in (4, 8, 12, 16)]
    assert str(probe_address(PODS, 2, 3)) == "10.128.0.15"
    assert [probe_room(gateways) for gateways in range(1, 5)] == [29, 28, 28, 27]


@pytest.mark.parametrize("gateways", [1, 2, 3, 4])
@pytest.mark.parametrize("node", range(LARGEST_POD_RANGE, SMALLEST_POD_RANGE + 1))
def test_no_machine_has_a_probe_address_among_its_pods(gateways: int, node: int) -> None:
    """Host 0 is the network address and so no machine: the first that may be one is host 1."""
    pods = IPv4Network((PODS.network_address, min(node - 1, longest_pod_block(gateways))))
    machines = [node_pod_range(pods, node, host) for host in (1, 2, (1 << node - pods.prefixlen) - 1)]
    met = any(probe_block(pods, gateway).overlaps(one) for gateway in range(gateways) for one in machines)
    # Where they would meet, the plan refuses (network/rules.py).
    assert met == (node > probe_room(gateways))
    assert met == ((gateways, node) == (4, 28))
    if not met:
        first = node_pod_range(pods, node, 0)
        assert all(probe_block(pods, gateway).subnet_of(first) for gateway in range(gateways))


@pytest.mark.parametrize("gateways", [2, 3, 4])
def test_probe_addresses_are_longer_than_whatever_a_take_over_advertises(gateways: int) -> None:
    for prefix in range(8, longest_pod_block(gateways) + 1):
        block = IPv4Network((0, prefix))
        assert tile_length(block, gateways, LONGEST_POD_PREFIX) + deepest_rung(gateways) < 30


# What deaths and returns lead to: who is alive, and for each order of tiles the deepest rung that each gateway has in
# the tailnet (-1: none).
Rungs = tuple[int, ...]
State = tuple[frozenset[int], tuple[Rungs, ...]]


@cache
def settled(order: Order, alive: frozenset[int], before: Rungs) -> tuple[Rungs, Claim | None]:
    """An order's rungs once the living have agreed; the dead keep what they had in the tailnet."""
    lost = {one: rung for one, rung in enumerate(before) if one not in alive and rung >= 0}
    claimed = claim(order, alive, lost)
    rungs = [before[one] if one not in alive else 0 if one == order[0] else -1 for one in range(len(before))]
    if claimed:
        rungs[claimed.gateway] = max(rungs[claimed.gateway], claimed.rung)
    return tuple(rungs), claimed


def other_sets(alive: frozenset[int], gateways: int, *, outages: bool) -> Iterator[frozenset[int]]:
    """Who may be alive next: any number die and return at once; without `outages` somebody lives all the while."""
    for flags in product((False, True), repeat=gateways):
        found = frozenset(one for one, lives in enumerate(flags) if lives)
        if found != alive and (outages or found & alive):
            yield found


def histories(
    gateways: int, steps: int, tiles: Sequence[Order], *, outages: bool
) -> Iterator[tuple[State, tuple[Claim | None, ...]]]:
    """
    Every state that so many deaths and returns lead to, alone or several at once, in any order; and those where the
    control server has dropped some of the dead meanwhile. With `outages` also through the death of all.
    """
    everyone = frozenset(range(gateways))
    first = tuple(tuple(0 if one == order[0] else -1 for one in range(gateways)) for order in tiles)
    start: State = everyone, first
    turn = numbers()
    least, border = {start: 0}, [(0, next(turn), start)]
    yield start, tuple(Claim(order[0], 0) for order in tiles)
    while border:
        taken, _, state = heappop(border)
        if taken > least[state]:
            continue
        alive, rungs = state
        found = [
            (taken + len(alive ^ then), then, rungs) for then in other_sets(alive, gateways, outages=outages)
        ]
        for gone in everyone - alive:
            left = (tuple(-1 if one == gone else rung for one, rung in enumerate(each)) for each in rungs)
            found.append((taken, alive, tuple(left)))
        for cost, then, before in found:
            if cost > steps:
                continue
            ends = [settled(order, then, each) for order, each in zip(tiles, before, strict=True)]
            after: State = then, tuple(each for each, _ in ends)
            yield after, tuple(claimed for _, claimed in ends)
            if cost < least.get(after, steps + 1):
                least[after] = cost
                heappush(border, (cost, next(turn), after))


def tile_histories(
    gateways: int, steps: int, *, outages: bool
) -> Iterator[tuple[frozenset[int], Rungs, Claim | None]]:
    """The same for one tile: all others have the same history under other numbers."""
    order = tuple(range(gateways))
    for (alive, (rungs,)), (claimed,) in histories(gateways, steps, [order], outages=outages):
        yield alive, rungs, claimed


# How many deaths and returns in a row, in any order, a tile always survives, though nobody ever leaves the tailnet.
SURVIVED = [(1, 50, True), (2, 4, True), (2, 50, False), (3, 5, True), (4, 6, True)]


@pytest.mark.parametrize(("gateways", "steps", "outages"), SURVIVED)
def test_a_living_gateway_receives_every_tile_however_they_fail(
    gateways: int, steps: int, outages: bool
) -> None:
    for alive, rungs, claimed in tile_histories(gateways, steps, outages=outages):
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
    for _, rungs, _ in tile_histories(gateways, 14, outages=True):
        owned = [rung for rung in rungs if rung >= 0]
        assert len(set(owned)) == len(owned)
        assert max(owned, default=0) <= deepest_rung(gateways)


@pytest.mark.parametrize(("gateways", "steps"), [(2, 5), (3, 6), (4, 7)])
def test_the_ladder_ends_where_the_table_says(gateways: int, steps: int) -> None:
    """The negative control of SURVIVED: one step further a tile can be left to the control server."""
    states = tile_histories(gateways, steps, outages=True)
    assert any(alive and claimed is None for alive, _, claimed in states)


@pytest.mark.parametrize("gateways", [2, 3, 4])
def test_when_all_are_back_everything_is_as_in_the_beginning(gateways: int) -> None:
    for alive, rungs, claimed in tile_histories(gateways, 14, outages=True):
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


def in_the_tailnet(layouts: Sequence[Layout], state: State) -> list[frozenset[str]]:
    """What the control server gives each gateway in a state: what it advertises, or did when it died."""
    tiles, found = layouts[0].orders, []
    for layout in layouts:
        rungs = {order: each[layout.me] for order, each in zip(tiles, state[1], strict=True)}
        # Its own tiles it always has, unless the control server has dropped the device.
        dropped = any(rung < 0 for order, rung in rungs.items() if order[0] == layout.me)
        claims = {order: rung for order, rung in rungs.items() if rung > 0}
        found.append(frozenset() if dropped else layout.advertised(claims))
    return found


@cache
def place(block: IPv4Network, prefix: str) -> tuple[int, int] | None:
    """A prefix's length, and the number of its first address in the block."""
    network = IPv4Network(prefix)
    start = int(network.network_address) - int(block.network_address)
    return (network.prefixlen, start) if network.subnet_of(block) else None


@cache
def inside(block: IPv4Network, prefixes: frozenset[str]) -> Mapping[int, list[int]]:
    found: dict[int, list[int]] = {}
    for prefix in prefixes:
        if at := place(block, prefix):
            found.setdefault(at[0], []).append(at[1])
    return found


NOBODY = 255


def receivers(block: IPv4Network, tailnet: Sequence[frozenset[str]]) -> bytearray:
    """Longest-prefix match for every address of a block: the number of the gateway that gets it."""
    found = bytearray([NOBODY]) * block.num_addresses
    owned = [inside(block, prefixes) for prefixes in tailnet]
    # Written from the shortest to the longest, so the longest one stays.
    for length in range(block.prefixlen, 33):
        size = 1 << (32 - length)
        for gateway, lengths in enumerate(owned):
            for start in lengths.get(length, ()):
                found[start : start + size] = bytes([gateway]) * size
    return found


def check(region: Region, layouts: Sequence[Layout], state: State) -> bool:
    """What must hold of a region in each state; `layouts` are those of its gateways."""
    alive = state[0]
    tailnet = in_the_tailnet(layouts, state)
    # Nobody owns what another one owns, and there is never more than the plan counts.
    assert len(frozenset().union(*tailnet)) == sum(map(len, tailnet)) <= region.count.most
    for gateway in alive:
        covers = {str(prefix) for block in region.blocks for prefix in ladder(block, len(layouts))[gateway]}
        assert covers <= tailnet[gateway]
        # What the others read of it is what it claims.
        tiles = zip(layouts[0].orders, state[1], strict=True)
        assert layouts[gateway].rungs(tailnet[gateway]) == {
            order: rungs[gateway] for order, rungs in tiles if rungs[gateway] >= 0
        }
    if not alive:
        return True
    for block in region.blocks:
        got = receivers(block, tailnet)
        if block == region.pod_cidr:
            # A gateway's probe addresses are its own, so that nobody else answers for it; no machine has them.
            for gateway in range(len(layouts)):
                start = int(probe_block(block, gateway).network_address) - int(block.network_address)
                answers = set(got[start : start + 4])
                assert answers == {gateway} or (gateway not in alive and answers <= alive)
                got[start : start + 4] = bytes([next(iter(alive))]) * 4
        assert not got.translate(None, bytes(alive)), f"{block}: not all of it reaches one of {sorted(alive)}"
    return True


def smallest_region(gateways: int) -> Region:
    nodes, pods = longest_node_block(gateways), min(longest_pod_block(gateways), 27)
    return Region(
        IPv4Network((NODES.network_address, nodes)),
        IPv4Network((PODS.network_address, pods)),
        28 if gateways < MAX_GATEWAYS else 27,
        tuple(range(1, 1 + gateways)),
    )


def tiled_region(gateways: int) -> Region:
    """One whose nodes have tiles of their own."""
    pods = IPv4Network((PODS.network_address, {1: 21, 2: 19, 3: 18, 4: 16}[gateways]))
    node = {1: 24, 2: 24, 3: 25, 4: 25}[gateways]
    return Region(NODES, pods, node, tuple(range(1, 1 + gateways)), (6, 7))


@pytest.mark.parametrize("region", [smallest_region, tiled_region])
@pytest.mark.parametrize(("gateways", "steps", "outages"), SURVIVED)
def test_every_address_of_a_region_reaches_a_living_gateway_however_they_fail(
    gateways: int, steps: int, outages: bool, region: Callable[[int], Region]
) -> None:
    found = region(gateways)
    layouts = found.layouts()
    states = {state for state, _ in histories(gateways, steps, layouts[0].orders, outages=outages)}
    assert all(check(found, layouts, state) for state in states)


def test_a_node_of_the_tiled_region_has_a_tile_and_one_of_the_smallest_has_none() -> None:
    for gateways in range(2, MAX_GATEWAYS + 1):
        for region, has_tile in ((tiled_region(gateways), True), (smallest_region(gateways), False)):
            usual = frozenset[str]().union(*(layout.advertised({}) for layout in region.layouts()))
            assert (str(region.pods(region.gateways[0])) in usual) == has_tile


@pytest.mark.parametrize(("gateways", "steps"), [(2, 5), (3, 6)])
def test_one_step_further_some_address_is_left_to_the_control_server(gateways: int, steps: int) -> None:
    """The negative control of the test above."""
    region = smallest_region(gateways)
    layouts = region.layouts()
    states = {state for state, _ in histories(gateways, steps, layouts[0].orders, outages=True)}
    with pytest.raises(AssertionError, match="not all of it reaches one of"):
        all(check(region, layouts, state) for state in states)


def test_an_order_without_tiles_keeps_no_gateway_from_being_relieved() -> None:
    """Gateways whose own ranges lie close together: one of the 12 orders of four gateways is left without a tile."""
    region = Region(IPv4Network("10.1.0.0/24"), IPv4Network("10.128.0.0/16"), 24, (1, 2, 3, 64))
    layout, *others = region.layouts()
    missing = set(orders(4)).difference(layout.orders)
    assert missing == {(0, 2, 3, 1)}
    seen = [
        one.rungs(one.advertised({order: 1 for order in layout.orders if order[1] == one.me}))
        for one in others
    ]
    assert Claims(0, layout.orders).relieved([{}, *seen])
    assert not Claims(0, orders(4)).relieved([{}, *seen])


@st.composite
def regions(draw: st.DrawFn) -> Region:
    """Of any shape that the plan lets pass, pods not larger than a /16."""
    gateways = draw(st.integers(1, MAX_GATEWAYS))
    node = draw(st.integers(LARGEST_POD_RANGE, min(SMALLEST_POD_RANGE, probe_room(gateways))))
    nodes = draw(st.integers(16, longest_node_block(gateways)))
    pods = draw(st.integers(16, min(longest_pod_block(gateways), node - (1 if gateways < 2 else 3))))
    last = min((1 << 32 - nodes) - 2, (1 << node - pods) - 1)
    hosts = draw(st.lists(st.integers(1, last), min_size=gateways, max_size=gateways + 9, unique=True))
    return Region(
        IPv4Network((NODES.network_address, nodes)),
        IPv4Network((PODS.network_address, pods)),
        node,
        tuple(sorted(hosts[:gateways])),
        tuple(hosts[gateways:]),
    )


@settings(max_examples=60, deadline=None)
@given(region=regions(), data=st.data())
def test_the_same_of_regions_of_any_shape(region: Region, data: st.DataObject) -> None:
    gateways = len(region.gateways)
    layouts = region.layouts()
    tiles = layouts[0].orders
    alive = frozenset(range(gateways))
    rungs = tuple(tuple(0 if one == order[0] else -1 for one in range(gateways)) for order in tiles)
    left = max(steps for number, steps, outages in SURVIVED if (number, outages) == (gateways, True))
    check(region, layouts, (alive, rungs))
    while left:
        near = [then for then in other_sets(alive, gateways, outages=True) if len(alive ^ then) <= left]
        then = data.draw(st.sampled_from(near))
        left -= len(alive ^ then)
        alive = then
        rungs = tuple(settled(order, alive, each)[0] for order, each in zip(tiles, rungs, strict=True))
        check(region, layouts, (alive, rungs))
