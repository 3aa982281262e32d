"""Pairs of regions: which path to expect and why, and how large their packets may be."""

from __future__ import annotations

from typing import Any

import pytest

from config.schema import StackConfig
from network.links import RegionLink, region_links
from network.plan import NetworkPlanError, plan_network
from tests.stacks import HOST_KEY, STACK_FILES, put, ssh_region, stack, stack_data

NAT = "regions.1.provider.nat"
WEST_NAT = "regions.2.provider.nat"
WHY = "regions.1.no_inbound"
WEST_WHY = "regions.2.no_inbound"
Edits = list[tuple[str, Any]]
OPEN = {"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}


def three(*edits: tuple[str, Any]) -> StackConfig:
    data = stack_data(next(path for path in STACK_FILES if path.name == "Pulumi.three.yaml"))
    for path, value in edits:
        put(data, path, value)
    return StackConfig.model_validate(data)


def links(*edits: tuple[str, Any]) -> dict[str, RegionLink]:
    config = three(*edits)
    return {f"{link.one}-{link.other}": link for link in region_links(config, plan_network(config))}


def test_every_pair_is_named_once_the_hub_first() -> None:
    assert list(links()) == ["hub-gpu", "hub-west", "gpu-west"]


def test_two_regions_that_open_the_port_connect_directly() -> None:
    link = links()["gpu-west"]
    assert (link.path, link.reason) == ("direct", "both can be reached at UDP 41641")


@pytest.mark.parametrize(
    ("edits", "path", "reason"),
    [
        (
            [(NAT, "hard"), (WHY, "rented flat")],
            "direct",
            "west can be reached at UDP 41641; gpu is behind a NAT that picks another port for every destination, "
            "so it dials",
        ),
        (
            [(NAT, "hard"), (WHY, "rented flat"), (WEST_NAT, "easy"), (WEST_WHY, "rented flat")],
            "relayed",
            "neither can dial the other",
        ),
        (
            [(WHY, "campus firewall"), (WEST_WHY, "another campus")],
            "relayed",
            "gpu accepts nothing from outside (campus firewall) and west accepts",
        ),
        (
            [("regions.1.gateway_firewall", []), ("regions.2.gateway_firewall.0.source", "198.51.100.0/24")],
            "direct",
            "both dial at once, each to a known port",
        ),
        (
            [("regions.1.gateway_firewall.0.port", 51820), (WEST_NAT, "hard"), (WEST_WHY, "rented flat")],
            "relayed",
            "gpu does not open UDP 41641 to everybody and west is behind a NAT",
        ),
    ],
)
def test_a_pair_meets_only_if_one_side_can_be_foretold(edits: Edits, path: str, reason: str) -> None:
    link = links(*edits)["gpu-west"]
    assert link.path == path
    assert reason in link.reason


def test_links_of_a_region_without_a_device_do_not_exist() -> None:
    config = three()
    plan = plan_network(config)
    west = plan.region("west")
    object.__setattr__(west, "nodes", west.workers)
    assert [(link.path, link.reason) for link in region_links(config, plan)][1:] == [
        ("none", "west has no device in the tailnet")
    ] * 2


@pytest.mark.parametrize(
    ("edits", "sizes"),
    [
        ([], [1280, 1280, 1280]),
        ([("tailnet.mtu", 1420)], [1420, 1420, 1420]),
        # 80 bytes of IPv6, UDP and WireGuard around each packet.
        ([("tailnet.mtu", 1420), ("regions.1.wan_mtu", 1460)], [1380, 1420, 1380]),
        ([("tailnet.mtu", 1420), ("regions.1.lan_mtu", 1460)], [1380, 1420, 1380]),
        # In the VXLAN of a routed region 50 bytes fewer fit.
        (
            [("tailnet.mtu", 1420), ("regions.2.lan_mtu", 1450), ("regions.2.wan_mtu", 1500)],
            [1420, 1400, 1400],
        ),
        # Jumbo frames end at the border of a LAN, unless somebody says that they do not.
        ([("tailnet.mtu", 8800)] + [(f"regions.{i}.lan_mtu", 9000) for i in range(3)], [1420, 1420, 1420]),
        (
            [("tailnet.mtu", 8800)]
            + [(f"regions.{i}.{key}", 9000) for i in range(3) for key in ("lan_mtu", "wan_mtu")],
            [8800, 8800, 8800],
        ),
    ],
)
def test_the_smallest_link_below_a_pair_decides_its_packets(edits: Edits, sizes: list[int]) -> None:
    found = links(*edits)
    assert [link.mtu for link in found.values()] == sizes
    assert [link.mss for link in found.values()] == [size - 40 for size in sizes]
    plan = plan_network(three(*edits))
    assert (plan.mtu, plan.mss) == (min(sizes), min(sizes) - 40)


@pytest.mark.parametrize(
    ("edits", "remedy"),
    [
        ([("regions.1.wan_mtu", 1350)], "region gpu: wan_mtu 1350 leaves 1270 bytes"),
        ([("regions.1.wan_mtu", 1350)], "have the provider raise it, then write wan_mtu: 1360 or more"),
        ([("regions.1.lan_mtu", 1300)], "region gpu: lan_mtu 1300 leaves 1220 bytes"),
        (
            [("regions.2.lan_mtu", 1320), ("regions.2.wan_mtu", 1400)],
            "then write lan_mtu: 1330 or more, or lan: l2",
        ),
    ],
)
def test_a_link_that_is_too_small_is_refused(edits: Edits, remedy: str) -> None:
    with pytest.raises(NetworkPlanError) as caught:
        plan_network(three(*edits))
    assert remedy in str(caught.value)


def test_a_stack_of_one_region_has_a_size_and_no_link() -> None:
    config = stack(("regions.1", ...))
    plan = plan_network(config)
    assert region_links(config, plan) == ()
    assert plan.mtu == 1280


# -- machines that exist already, behind NATs and without a network of their own


def rack(*edits: tuple[str, Any], **changes: Any) -> dict[str, RegionLink]:
    """The dev stack and two machines over SSH, each a device of its own."""
    region = ssh_region(mode="per-node", provider={"kind": "ssh", "lan": "none"}, gateway_firewall=[OPEN])
    del region["machines"][0]["gateway"], region["machines"][1]["jump"]
    region["machines"][1]["address"] = "198.51.100.8"
    config = stack(("regions.2", region | changes), *edits)
    return {f"{link.one}-{link.other}": link for link in region_links(config, plan_network(config))}


@pytest.mark.parametrize(
    ("changes", "path", "reason"),
    [
        ({}, "direct", "each machine of tx can be reached at UDP 41641"),
        ({"gateway_firewall": []}, "direct", "two dial at once, each to a known port"),
        (
            {"no_inbound": "private flats"},
            "relayed",
            "accepts nothing from outside (private flats): none can dial another",
        ),
        (
            {"no_inbound": "one flat", "provider": {"kind": "ssh", "lan": "l2"}},
            "direct",
            "its machines share a LAN",
        ),
    ],
)
def test_machines_of_a_per_node_region_meet_through_the_tailnet(
    changes: dict[str, Any], path: str, reason: str
) -> None:
    found = rack(**changes)
    assert list(found) == ["hub-gpu", "hub-tx", "gpu-tx", "tx-tx"]
    assert (found["tx-tx"].path, reason in found["tx-tx"].reason) == (path, True), found["tx-tx"].reason
    assert found["tx-tx"].mtu == 1280


def test_machines_behind_a_nat_dial_the_hub_whatever_they_are_to_each_other() -> None:
    found = rack(no_inbound="private flats")
    assert found["hub-tx"].path == found["gpu-tx"].path == "direct"
    assert found["hub-tx"].reason == (
        "hub can be reached at UDP 41641; tx accepts nothing from outside (private flats), so it dials"
    )


def test_two_racks_behind_nats_are_relayed_to_each_other() -> None:
    found = rack(("regions.1.no_inbound", "an office"), no_inbound="private flats")
    assert found["gpu-tx"].path == "relayed"


def test_one_machine_alone_has_nobody_to_meet_in_its_region() -> None:
    one = [{"name": "tx-a", "node_ip": "10.3.0.10", "address": "198.51.100.7", "host_key": HOST_KEY}]
    assert "tx-tx" not in rack(machines=one)


def test_machines_on_a_lan_behind_one_gateway_have_no_link_of_their_own() -> None:
    assert list(links()) == ["hub-gpu", "hub-west", "gpu-west"]
