"""Prices as a reader sees them: per hour with the GPUs, per gigabyte that leaves; an unknown one is called so."""

from __future__ import annotations

from collections import Counter

from network.prices import RegionCost, in_the_cloud, region_costs
from report.model import Compared, CostRow
from report.sides import Side

UNKNOWN = "unknown"


def cost_rows(before: Side, after: Side) -> tuple[CostRow, ...]:
    """Every region that either side has. The egress price and the sources are those of the side that stays."""
    old, new = _costs(before), _costs(after)
    rows = []
    for name in [*new, *(name for name in old if name not in new)]:
        cost = new.get(name) or old[name]
        rows.append(
            CostRow(
                region=name,
                seller=cost.seller or "",
                gpus=Compared(what="GPUs", before=_gpus(before, name), after=_gpus(after, name)),
                usd_per_hour=Compared(what="$/h", before=_price(old.get(name)), after=_price(new.get(name))),
                egress_usd_per_gb=_egress(cost),
                sources=tuple(dict.fromkeys([*cost.sources, *([cost.egress.source] if cost.egress else [])])),
            )
        )
    return tuple(rows)


def gpus(side: Side) -> str:
    """`24 x H100`, a type after another; `none`."""
    return _gpus(side, None) or ("none" if side.plan else "")


def per_hour(side: Side) -> str:
    """All GPUs of the stack; what is known of it with the word for the rest."""
    costs = list(_costs(side).values())
    if not costs:
        return ""
    return _with_unknown(
        sum(cost.usd_per_hour for cost in costs), sorted({name for cost in costs for name in cost.unpriced})
    )


def per_hour_in_the_cloud(side: Side) -> str:
    """What the same GPUs would cost in the cloud region."""
    if side.config is None or side.plan is None:
        return ""
    total, unpriced = in_the_cloud(side.config, side.plan)
    return _with_unknown(total, unpriced)


def egress(side: Side) -> str:
    """`hub $0.12, gpu unknown`: what cross-region traffic costs its sender."""
    return ", ".join(f"{cost.region} {_egress(cost)}" for cost in _costs(side).values())


def _egress(cost: RegionCost) -> str:
    return _dollars(cost.egress.usd) if cost.egress else UNKNOWN


def _costs(side: Side) -> dict[str, RegionCost]:
    if side.config is None or side.plan is None:
        return {}
    return {cost.region: cost for cost in region_costs(side.config, side.plan)}


def _gpus(side: Side, region: str | None) -> str:
    counts: Counter[str] = Counter()
    for node in side.nodes.values():
        if node.gpu and region in (None, node.region):
            counts[node.gpu.type] += node.gpu.count
    return ", ".join(f"{count} x {gpu}" for gpu, count in sorted(counts.items()))


def _price(cost: RegionCost | None) -> str:
    return "" if cost is None else _with_unknown(cost.usd_per_hour, cost.unpriced) if cost.gpus else "no GPUs"


def _with_unknown(usd: float, unpriced: tuple[str, ...] | list[str]) -> str:
    if not unpriced:
        return _dollars(usd)
    missing = f"{UNKNOWN} ({', '.join(unpriced)})"
    return f"{_dollars(usd)} + {missing}" if usd else missing


def _dollars(usd: float) -> str:
    """Cents, and as many more digits as a price per gigabyte has."""
    return f"${usd:.2f}" if round(usd, 2) == usd else f"${usd:g}"
