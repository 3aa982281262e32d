"""What a stack's GPUs cost an hour, and a gigabyte that leaves a region: from the stack file, else from prices.toml."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.schema import CloudRegionConfig, GpuConfig, RegionConfig, StackConfig

if TYPE_CHECKING:
    from network.plan import NetworkPlan

STACK_FILE = "the stack file"


@dataclass(frozen=True)
class Price:
    """US dollars, for one GPU and one hour or for one gigabyte; and who says so."""

    usd: float
    source: str


@dataclass(frozen=True, kw_only=True)
class RegionCost:
    """The GPUs of one region. `usd_per_hour` counts those with a price; `unpriced` are the types without one."""

    region: str
    seller: str | None
    gpus: int
    usd_per_hour: float
    unpriced: tuple[str, ...]
    sources: tuple[str, ...]
    egress: Price | None

    @property
    def known(self) -> bool:
        return not self.unpriced


def gpu_price(region: RegionConfig, gpu: GpuConfig) -> Price | None:
    """
    One GPU of a machine: its own `usd_per_hour`, else the region's `prices`, else its seller's list price; None if
    nobody says.
    """
    if gpu.usd_per_hour is not None:
        return Price(gpu.usd_per_hour, STACK_FILE)
    own = next((price.usd_per_hour for price in region.prices.gpus if price.type == gpu.type), None)
    if own is not None:
        return Price(own, STACK_FILE)
    return _listed(region.seller, gpu.type)


def egress_price(region: RegionConfig) -> Price | None:
    """One gigabyte that leaves the region; None if nobody says."""
    if region.prices.egress_usd_per_gb is not None:
        return Price(region.prices.egress_usd_per_gb, STACK_FILE)
    entry = _seller(region.seller).get("egress")
    return Price(entry["usd_per_gb"], _source(entry)) if entry else None


def region_costs(config: StackConfig, plan: NetworkPlan) -> tuple[RegionCost, ...]:
    """Every region's GPUs, in the order of the plan. Machines without GPUs are not priced."""
    return tuple(_cost(config, plan, name) for name in (region.name for region in plan.regions))


def gpus_per_hour(region: RegionConfig, gpus: Sequence[GpuConfig]) -> float | None:
    """A region's GPUs; None if one of them has no price, for a sum that lacks one is wrong."""
    prices = [(gpu_price(region, gpu), gpu.count) for gpu in gpus]
    known = [price.usd * count for price, count in prices if price]
    return round(sum(known), 2) if len(known) == len(prices) else None


def usd_per_hour(plan: NetworkPlan) -> float | None:
    """The GPUs of the whole stack; None if any of them has no price."""
    known = [region.usd_per_hour for region in plan.regions if region.usd_per_hour is not None]
    return round(sum(known), 2) if len(known) == len(plan.regions) else None


def in_the_cloud(config: StackConfig, plan: NetworkPlan) -> tuple[float, tuple[str, ...]]:
    """
    What the stack's GPUs would cost an hour in its cloud region: the sum of those that have a price there, and the
    types that have none.
    """
    cloud = next(region for region in config.regions if isinstance(region, CloudRegionConfig))
    total, unpriced = 0.0, set()
    for gpu in (node.gpu for region in plan.regions for node in region.nodes):
        if gpu is None:
            continue
        price = gpu_price(cloud, gpu.model_copy(update={"usd_per_hour": None}))
        if price is None:
            unpriced.add(gpu.type)
        else:
            total += price.usd * gpu.count
    return round(total, 2), tuple(sorted(unpriced))


def price_problems(config: StackConfig) -> Iterator[str]:
    """A seller that the price list does not know is a misspelt one: its prices would all be unknown."""
    known = _table()["sellers"]
    for region in config.regions:
        for gpu_type, times in Counter(price.type for price in region.prices.gpus).items():
            if times > 1:
                yield f"region {region.name}: prices.gpus names {gpu_type} {times} times; write one line for each type"
        if region.seller is not None and region.seller not in known:
            yield (
                f"region {region.name}: seller {region.seller} is not in network/prices.toml; write one of "
                f"{', '.join(sorted(known))}, or leave it out and write "
                "prices: {gpus: [{type: H100, usd_per_hour: 1.9}]}"
            )


def _cost(config: StackConfig, plan: NetworkPlan, name: str) -> RegionCost:
    region = next(region for region in config.regions if region.name == name)
    gpus = [node.gpu for node in plan.region(name).nodes if node.gpu]
    prices = [(gpu, gpu_price(region, gpu)) for gpu in gpus]
    return RegionCost(
        region=name,
        seller=region.seller,
        gpus=sum(gpu.count for gpu in gpus),
        usd_per_hour=round(sum(price.usd * gpu.count for gpu, price in prices if price), 2),
        unpriced=tuple(sorted({gpu.type for gpu, price in prices if price is None})),
        sources=tuple(sorted({price.source for _, price in prices if price})),
        egress=egress_price(region),
    )


def _listed(seller: str | None, gpu_type: str) -> Price | None:
    entry = _seller(seller).get("gpus", {}).get(gpu_type)
    return Price(entry["usd_per_hour"], _source(entry)) if entry else None


def _seller(name: str | None) -> dict[str, Any]:
    return dict(_table()["sellers"].get(name, {}))


def _source(entry: dict[str, Any]) -> str:
    source = _table()["sources"][entry["source"]]
    return f"{source['url']} ({source['read']})"


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "prices.toml").read_text())
