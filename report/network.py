"""Both sides' addresses and links, row by row."""

from __future__ import annotations

from collections.abc import Iterator

from report.model import AddressRow, Compared, LinkRow
from report.sides import Side


def link_rows(before: Side, after: Side) -> tuple[LinkRow, ...]:
    """Every pair of regions that either side has, in the order of the plan."""
    old, new = before.links, after.links
    rows = []
    for pair in [*new, *(pair for pair in old if pair not in new)]:
        link = new.get(pair) or old[pair]
        rows.append(
            LinkRow(
                one=link.one,
                other=link.other,
                before=old[pair].path if pair in old else "",
                after=new[pair].path if pair in new else "",
                reason=link.reason,
                mtu=link.mtu,
                mss=link.mss,
            )
        )
    return tuple(rows)


def address_rows(before: Side, after: Side) -> tuple[AddressRow, ...]:
    """Every region that either side has; ranges come from the stack files, so a plan that failed still shows them."""
    names = dict.fromkeys([*before.regions, *after.regions])
    ordered = sorted(names, key=lambda name: (not _is_hub(name, before, after), name))
    return tuple(
        AddressRow(
            region=name,
            nodes=_compare(
                "nodes",
                *(str(side.regions[name].node_cidr) if name in side.regions else "" for side in sides),
            ),
            pods=_compare(
                "pods", *(str(side.regions[name].pod_cidr) if name in side.regions else "" for side in sides)
            ),
            prefixes=_compare("prefixes", *(_prefixes(side, name) for side in sides)),
            machines=_compare("machines", *(_machines(side, name) for side in sides)),
        )
        for name in ordered
        for sides in [(before, after)]
    )


def moved_machines(before: Side, after: Side) -> tuple[Compared, ...]:
    """Machines that come, go, or whose addresses differ."""
    old, new = _places(before), _places(after)
    return tuple(
        _compare(name, old.get(name, ""), new.get(name, ""))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


def _is_hub(name: str, *sides: Side) -> bool:
    return any(name in side.regions and side.regions[name].kind == "cloud" for side in sides)


def _compare(what: str, before: str, after: str) -> Compared:
    return Compared(what=what, before=before, after=after)


def _prefixes(side: Side, region: str) -> str:
    """`hub-gw-1: 10.0.0.0/24, 10.128.0.0/16`, a line for each gateway."""
    return "\n".join(_gateways(side, region))


def _gateways(side: Side, region: str) -> Iterator[str]:
    for node in side.nodes.values():
        if node.region == region and node.advertise:
            yield f"{node.name}: {', '.join(map(str, node.advertise))}"


def _machines(side: Side, region: str) -> str:
    count = sum(node.region == region for node in side.nodes.values())
    return str(count) if count else ""


def _places(side: Side) -> dict[str, str]:
    return {node.name: f"{node.node_ip}, pods {node.pod_cidr}" for node in side.nodes.values()}
