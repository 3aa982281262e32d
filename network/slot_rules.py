"""Rules about slots: each belongs to one region, and a message names one that is free."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

from config.schema import StackConfig
from config.slots import sizes, slot_count, slot_range
from network.ranges import reserved_overlap

# A message needs one free slot; a search through all 2**22 possible ones would make an error slow.
_SEARCHED = 4096


def slot_problems(config: StackConfig) -> Iterator[str]:
    """Slots that several regions have."""
    owners: dict[int, list[str]] = defaultdict(list)
    for region in config.regions:
        if region.slot is not None:
            owners[region.slot].append(region.name)
    for slot, names in owners.items():
        if len(names) > 1:
            yield (
                f"region {names[-1]}: slot {slot} is also the slot of region {', '.join(names[:-1])}; "
                f"{slot_remedy(config)}"
            )


def slot_remedy(config: StackConfig) -> str:
    """What to write for a region whose slot is taken."""
    taken = [cidr for region in config.regions for cidr in (region.node_cidr, region.pod_cidr)]
    taken += [config.kubernetes.service_cidr, *(item.cidr for item in config.reserved)]
    free = _free_slot(config, taken)
    if free is None:
        return "no slot is free, write larger supernets, or longer kubernetes.slots"
    return f"write a free one, for example slot: {free}"


def _free_slot(config: StackConfig, taken: Iterable[IPv4Network]) -> int | None:
    obstacles = list(taken)
    halves = sizes(config.kubernetes).values()
    for slot in range(min(_SEARCHED, *(slot_count(supernet, prefix) for supernet, prefix in halves))):
        ranges = [cidr for supernet, prefix in halves if (cidr := slot_range(supernet, prefix, slot))]
        hit = any(cidr.overlaps(obstacle) for cidr in ranges for obstacle in obstacles)
        if not hit and not any(reserved_overlap(cidr) for cidr in ranges):
            return slot
    return None
