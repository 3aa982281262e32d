"""Prefix ladders: each gateway covers the whole block, by prefixes that no other gateway has."""

from __future__ import annotations

from ipaddress import IPv4Network, collapse_addresses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from network.prefixes import MAX_GATEWAYS, ladder, longest_ladder_block

blocks = st.builds(
    lambda bits, prefix: IPv4Network((bits >> (32 - prefix) << (32 - prefix), prefix)),
    st.integers(0, 2**32 - 1),
    st.integers(8, 27),
)


@settings(max_examples=100, deadline=None)
@given(block=blocks, gateways=st.integers(1, MAX_GATEWAYS))
def test_every_rung_covers_the_block_and_no_two_share_a_prefix(block: IPv4Network, gateways: int) -> None:
    rungs = ladder(block, gateways)
    assert len(rungs) == gateways
    for rung in rungs:
        assert list(collapse_addresses(rung)) == [block]
    prefixes = [prefix for rung in rungs for prefix in rung]
    assert len(set(prefixes)) == len(prefixes) == 2**gateways - 1


@given(block=blocks, gateways=st.integers(2, MAX_GATEWAYS))
@settings(max_examples=50, deadline=None)
def test_a_further_gateway_changes_nothing_for_the_others(block: IPv4Network, gateways: int) -> None:
    assert ladder(block, gateways)[:-1] == ladder(block, gateways - 1)


def test_gateways_hold_the_block_its_halves_and_its_quarters() -> None:
    rungs = [[str(prefix) for prefix in rung] for rung in ladder(IPv4Network("10.1.0.0/24"), 3)]
    assert rungs == [
        ["10.1.0.0/24"],
        ["10.1.0.0/25", "10.1.0.128/25"],
        ["10.1.0.0/26", "10.1.0.64/26", "10.1.0.128/26", "10.1.0.192/26"],
    ]


@pytest.mark.parametrize(("gateways", "longest"), [(1, 30), (2, 28), (3, 27), (4, 26)])
def test_a_block_has_room_for_the_ladder_and_one_rung_to_take_over(gateways: int, longest: int) -> None:
    assert longest_ladder_block(gateways) == longest
    block = IPv4Network((0, longest))
    deepest = ladder(block, gateways + 1 if gateways > 1 else 1)[-1]
    assert max(prefix.prefixlen for prefix in deepest) == 30
