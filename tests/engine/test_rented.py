"""A rented machine's life under the real engine, against the seller's API on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pulumi
import pytest

from config.schema import StackConfig
from network.plan import plan_network
from providers.base import Site
from providers.host_keys import host_key
from providers.rented import RentedRegion, SellerAccount
from tests.components.seller_stacks import sellers
from tests.engine.bench import Bench
from tests.unit.hyperstack_server import ENVIRONMENT, KEY, MACHINES, Hyperstack, selling

pytestmark = pytest.mark.engine
SEED = "5eed" * 16
NEW_KEY = "the-key-after-it"


@pytest.fixture
def seller() -> Iterator[Hyperstack]:
    with selling() as server:
        # Nothing to wait for: what waits is tested without the engine.
        server.states = ["ACTIVE"]
        server.looks_until_gone = 1
        yield server


def program(seller: Hyperstack, config: StackConfig, key: str = KEY) -> Callable[[], None]:
    """The first machine of the region at Hyperstack."""

    def run() -> None:
        plan = plan_network(config)
        site = Site(
            config=next(region for region in config.regions if region.name == "hyper"),
            plan=plan.region("hyper"),
            network=plan,
            ssh=config.access.ssh,
            host_key_seed=pulumi.Output.secret(SEED),
        )
        account = SellerAccount(
            seller="hyperstack",
            place={"environment": ENVIRONMENT, "image": "Ubuntu Server 24.04 LTS", "key_name": "ops"},
            key=pulumi.Output.secret(key),
            api=seller.url,
        )
        region = RentedRegion(site, account)
        region.firewall("worker", site.config.gateway_firewall, pulumi.ResourceOptions())
        machine = region.machine(site.plan.workers[0], pulumi.ResourceOptions())
        pulumi.export("address", machine.public_address)

    return run


def test_a_machine_is_ordered_kept_replaced_and_given_back(bench: Bench, seller: Hyperstack) -> None:
    texts = [bench.up(program(seller, sellers()))]
    assert bench.outputs() == {"address": "198.51.100.7"}
    texts.append(bench.up(program(seller, sellers())))
    assert "no changes" in texts[-1]
    assert (seller.orders(), list(seller.machines)) == (1, [7])

    # A new key: the old one ends when the stack has stored the new one.
    seller.keys = {NEW_KEY}
    texts.append(bench.up(program(seller, sellers(), NEW_KEY)))
    assert "hyper-a" in texts[-1]
    assert list(seller.machines) == [7]

    larger = sellers(("regions.1.machines.0.machine_type", "n3-H100x4"))
    preview = bench.run("preview", program(seller, larger, NEW_KEY))
    assert "replace" in preview.text
    assert list(seller.machines) == [7]
    del seller.log[:]
    texts.append(bench.up(program(seller, larger, NEW_KEY)))
    assert list(seller.machines) == [8]
    # The old one first: its name is taken, and so may be the quota.
    assert seller.log.index(("DELETE", f"{MACHINES}/7")) < seller.log.index(("POST", MACHINES))

    state = bench.state()
    for secret in (KEY, NEW_KEY, SEED, host_key(SEED, "hyper-a").private.splitlines()[1]):
        assert secret not in state + "".join(texts)
    assert bench.run("destroy", program(seller, larger, NEW_KEY)).ok
    assert seller.machines == {}


def test_a_refused_order_is_told_under_pulumi_up(bench: Bench, seller: Hyperstack) -> None:
    seller.environments = ["another"]
    said = bench.fails("up", program(seller, sellers()))
    assert "machine hyper-a" in said
    assert "provider.environment" in said.replace("\n", " ")
    assert KEY not in said
