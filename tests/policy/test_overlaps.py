"""Many ranges: what is compared grows with what overlaps, not with the square of what there is."""

from __future__ import annotations

from ipaddress import IPv4Network

from policy.rules.overlaps import Taken, overlaps
from policy.rules.ranges import Field, Range


def ranges(*cidrs: str) -> list[Range]:
    return [Range(Field(owner=cidr, field="cidr", text=cidr, urn=""), IPv4Network(cidr)) for cidr in cidrs]


def pairs(*cidrs: str) -> list[tuple[str, str]]:
    return [(str(first.cidr), str(second.cidr)) for first, second in overlaps(ranges(*cidrs))]


def test_ranges_that_are_apart_are_never_compared_with_each_other() -> None:
    many = [f"10.{high}.{low}.0/24" for high in range(20) for low in range(250)]
    assert pairs(*many) == []
    assert len(pairs("10.0.0.0/8", *many)) == len(many)


def test_every_overlapping_pair_is_found_the_first_declared_in_front() -> None:
    found = pairs("10.0.1.0/24", "10.0.0.0/16", "10.0.1.128/25", "10.0.1.0/24", "10.1.0.0/16")
    assert sorted(found) == [
        ("10.0.0.0/16", "10.0.1.0/24"),
        ("10.0.0.0/16", "10.0.1.128/25"),
        ("10.0.1.0/24", "10.0.0.0/16"),
        ("10.0.1.0/24", "10.0.1.0/24"),
        ("10.0.1.0/24", "10.0.1.128/25"),
        ("10.0.1.128/25", "10.0.1.0/24"),
    ]


def test_a_free_range_is_beyond_all_that_is_taken_or_reserved() -> None:
    taken = Taken([IPv4Network("10.0.0.0/16"), IPv4Network("10.0.5.0/24"), IPv4Network("10.1.0.0/24")])
    assert str(taken.next_free(IPv4Network("10.0.0.0/24"))) == "10.1.1.0/24"
    assert str(taken.next_free(IPv4Network("172.17.0.0/16"))) == "172.18.0.0/16"
    assert taken.next_free(IPv4Network("192.168.0.0/16").supernet()) is None
