"""What GPUs and egress cost: whose word counts, and that nobody's is called unknown."""

from __future__ import annotations

import tomllib
from datetime import date
from typing import Any

import pytest

from network.plan import NetworkPlanError, plan_network
from network.prices import STACK_FILE, egress_price, gpu_price, in_the_cloud, region_costs, usd_per_hour
from tests.stacks import ROOT, stack

TABLE = tomllib.loads((ROOT / "network" / "prices.toml").read_text())
FIGURES = [
    (f"{seller} {name}", figure)
    for seller, entry in TABLE["sellers"].items()
    for name, figure in [*entry.get("gpus", {}).items(), ("egress", entry.get("egress"))]
    if figure
]
GPU = "regions.1.machines.0.gpu"


def h100_price(*edits: tuple[str, Any]) -> Any:
    region = stack(*edits).regions[1]
    gpu = region.machines[0].gpu
    assert gpu
    return gpu_price(region, gpu)


@pytest.mark.parametrize("figure", [figure for _, figure in FIGURES], ids=[name for name, _ in FIGURES])
def test_every_listed_price_has_a_source_and_a_date(figure: dict[str, Any]) -> None:
    source = TABLE["sources"][figure["source"]]
    assert source["url"].startswith("https://")
    assert isinstance(source["read"], date)
    assert next(value for key, value in figure.items() if key.startswith("usd_per_")) > 0


def test_the_articles_prices_are_listed() -> None:
    listed = {
        name: entry["gpus"]["H100"]["usd_per_hour"]
        for name, entry in TABLE["sellers"].items()
        if "gpus" in entry
    }
    assert listed == {"gcp": 11.0, "runpod": 3.0, "hyperstack": 1.9, "voltage-park": 1.9}


def test_the_machine_speaks_before_the_region_and_the_region_before_the_list() -> None:
    own = ("regions.1.prices", {"gpus": [{"type": "H100", "usd_per_hour": 1.7}]})
    machine = (GPU, {"type": "H100", "count": 8, "usd_per_hour": 1.5})
    assert h100_price().usd == 1.9
    assert "midbai.com" in h100_price().source
    assert (h100_price(own).usd, h100_price(own).source) == (1.7, STACK_FILE)
    assert h100_price(own, machine).usd == 1.5


def test_a_price_that_nobody_says_is_none_and_a_stated_0_is_0() -> None:
    assert h100_price(("regions.1.seller", None)) is None
    assert h100_price((GPU, {"type": "B300", "count": 8})) is None
    assert h100_price((GPU, {"type": "H100", "count": 8, "usd_per_hour": 0})).usd == 0


def test_a_sum_that_lacks_a_price_is_unknown() -> None:
    known = stack()
    assert usd_per_hour(plan_network(known)) == pytest.approx(3 * 8 * 1.9)
    mixed = stack((GPU, {"type": "B300", "count": 8}))
    assert usd_per_hour(plan_network(mixed)) is None
    (cost,) = [cost for cost in region_costs(mixed, plan_network(mixed)) if cost.region == "gpu"]
    assert (cost.gpus, cost.unpriced) == (24, ("B300",))
    assert cost.usd_per_hour == pytest.approx(2 * 8 * 1.9)
    alone = stack(("regions.1", ...))
    assert usd_per_hour(plan_network(alone)) == 0


def test_the_same_gpus_in_the_cloud_cost_what_its_seller_asks() -> None:
    config = stack()
    assert in_the_cloud(config, plan_network(config)) == (3 * 8 * 11.0, ())
    paid = stack((GPU, {"type": "H100", "count": 8, "usd_per_hour": 1.0}))
    assert in_the_cloud(paid, plan_network(paid)) == (3 * 8 * 11.0, ())
    nowhere = stack(("regions.0.seller", None))
    assert in_the_cloud(nowhere, plan_network(nowhere)) == (0, ("H100",))


def test_egress_is_the_sellers_or_the_regions_own() -> None:
    hub, gpu = stack().regions
    assert egress_price(gpu) is None
    listed = egress_price(hub)
    assert listed
    assert listed.usd == 0.12
    free = egress_price(stack(("regions.1.prices", {"egress_usd_per_gb": 0})).regions[1])
    assert free
    assert (free.usd, free.source) == (0, STACK_FILE)


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (
            ("regions.1.seller", "hyperstak"),
            "region gpu: seller hyperstak is not in network/prices.toml; write one of aws, gcp, hyperstack, runpod, "
            "voltage-park, or leave it out and write prices: {gpus: [{type: H100, usd_per_hour: 1.9}]}",
        ),
        (
            (
                "regions.1.prices",
                {"gpus": [{"type": "H100", "usd_per_hour": 1}, {"type": "H100", "usd_per_hour": 2}]},
            ),
            "region gpu: prices.gpus names H100 2 times; write one line for each type",
        ),
    ],
)
def test_a_price_that_cannot_be_meant_is_refused(edit: tuple[str, Any], complaint: str) -> None:
    with pytest.raises(NetworkPlanError) as refused:
        plan_network(stack(edit))
    assert refused.value.problems == (complaint,)
