"""A region's ranges by the number of its slot: the number decides, no place in a list and no other region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any

from config.cluster import KubernetesConfig


class UnusableSlot(int):
    """The number of a slot that cannot be had, and why."""

    reason: str


def refuse_unusable(value: Any) -> Any:
    """A validator: the reason that `with_ranges` found, at the place of the slot."""
    if isinstance(value, UnusableSlot):
        raise ValueError(value.reason)
    return value


def with_ranges(regions: Any, kubernetes: KubernetesConfig) -> Any:
    """The regions of a stack file, each that has a slot with the ranges that it stands for."""
    if not isinstance(regions, Sequence) or isinstance(regions, str):
        return regions
    return [_with_ranges(region, kubernetes) for region in regions]


def _with_ranges(region: Any, kubernetes: KubernetesConfig) -> Any:
    if not isinstance(region, Mapping) or region.get("slot") is None:
        return region
    # The supernets' first ranges stand in for impossible ones: the region's other problems come in the same error.
    stand_in = {field: slot_range(*size, 0) or size[0] for field, size in sizes(kubernetes).items()}
    slot = region["slot"]
    if not isinstance(slot, int) or isinstance(slot, bool) or slot < 0:
        return {**stand_in, **region}
    ranges = {
        field: slot_range(supernet, prefix, slot) for field, (supernet, prefix) in sizes(kubernetes).items()
    }
    reason = _beyond(kubernetes, slot) or _contradiction(region, slot, ranges)
    if reason is None:
        return {**region, **ranges}
    unusable = UnusableSlot(slot)
    unusable.reason = reason
    return {**region, **stand_in, "slot": unusable}


def sizes(kubernetes: KubernetesConfig) -> dict[str, tuple[IPv4Network, int]]:
    """For each of a region's ranges the supernet that its slots lie in, and their prefix length."""
    return {
        "node_cidr": (kubernetes.node_supernet, kubernetes.slots.node_prefix),
        "pod_cidr": (kubernetes.pod_supernet, kubernetes.slots.pod_prefix),
    }


def slot_count(supernet: IPv4Network, prefix: int) -> int:
    """How many slots of a prefix length a supernet holds."""
    return 1 << (prefix - supernet.prefixlen) if prefix >= supernet.prefixlen else 0


def slot_range(supernet: IPv4Network, prefix: int, slot: int) -> IPv4Network | None:
    """Range number `slot` of a supernet; None if it holds fewer."""
    if slot >= slot_count(supernet, prefix):
        return None
    return IPv4Network((int(supernet.network_address) + (slot << (32 - prefix)), prefix))


def _beyond(kubernetes: KubernetesConfig, slot: int) -> str | None:
    for field, (supernet, prefix) in sizes(kubernetes).items():
        count = slot_count(supernet, prefix)
        if slot >= count:
            kind = field.removesuffix("_cidr")
            choice = f"write a slot from 0 to {count - 1}, or" if count else "write"
            return (
                f"does not exist, kubernetes.{kind}_supernet {supernet} holds {count} ranges of /{prefix}; "
                f"{choice} a larger {kind}_supernet or a longer kubernetes.slots.{kind}_prefix"
            )
    return None


def _contradiction(
    region: Mapping[str, Any], slot: int, ranges: Mapping[str, IPv4Network | None]
) -> str | None:
    for field, wanted in ranges.items():
        written = region.get(field)
        if written is not None and str(written) != str(wanted):
            return (
                f"stands for {field} {wanted}, but {field} {written} is written, too; "
                f"write one of the two: slot: {slot}, or node_cidr and pod_cidr"
            )
    return None
