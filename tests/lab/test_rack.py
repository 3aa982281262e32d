"""Ten machines that exist already, over SSH, one of them dead: nine join, the tenth is named, and joins later."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from lab import addresses, cloud
from lab.specs import MachineInfo, MachineSpec, NetworkSpec, Rule
from tests.lab import witness
from tests.lab.stand import (
    FIGURES,
    MACHINES,
    Json,
    Ran,
    Stand,
    all_ready,
    get,
    nodes,
    tailnet_devices,
    until,
    untouched,
)
from tests.stacks import ssh_region

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

REGION = "rack"
FIRST = IPv4Address("10.5.0.10")
RACK = tuple(f"rack-{letter}" for letter in "abcdefghij")
GATEWAY, DEAD = RACK[0], "rack-g"
LIVING = tuple(name for name in RACK if name != DEAD)
EVERYWHERE, OPERATOR = IPv4Network("0.0.0.0/0"), IPv4Network(addresses.OPERATOR)
WIREGUARD = Rule(protocol="udp", port=41641, source=EVERYWHERE)
SSH = Rule(protocol="tcp", port=22, source=OPERATOR)


def rent(name: str) -> MachineInfo:
    """A machine that Pulumi knows nothing of: only the gateway has a public address."""
    return cloud.create_machine(
        MachineSpec(
            name=name,
            network=REGION,
            role="gateway" if name == GATEWAY else "worker",
            node_ip=FIRST + RACK.index(name),
            public=name == GATEWAY,
        )
    )


@pytest.fixture(scope="module")
def machines(dev: Stand) -> Iterator[dict[str, MachineInfo]]:
    """What somebody else set up, and takes away in the end."""
    cloud.create_network(NetworkSpec(name=REGION, cidr=IPv4Network("10.5.0.0/24")))
    cloud.set_firewall(REGION, "gateways", [WIREGUARD, SSH])
    cloud.set_firewall(REGION, "workers", [SSH])
    # So many boot at once: all ten would keep a small host's processors from answering.
    with ThreadPoolExecutor(4) as pool:
        yield {machine.name: machine for machine in pool.map(rent, RACK)}
        list(pool.map(cloud.delete_machine, RACK))
    cloud.delete_network(REGION)


def listed(machine: MachineInfo) -> dict[str, Any]:
    gateway = {"gateway": True} if machine.name == GATEWAY else {}
    return {
        "name": machine.name,
        "node_ip": str(machine.node_ip),
        "address": machine.ssh_host,
        "port": machine.ssh_port,
        "host_key": machine.host_key,
    } | gateway


@pytest.fixture(scope="module")
def rack(dev: Stand, machines: dict[str, MachineInfo]) -> Iterator[None]:
    """The stack file names all ten; in the end none of them, and whatever joined has left."""
    region = ssh_region(
        name=REGION,
        node_cidr="10.5.0.0/24",
        pod_cidr="10.133.0.0/16",
        machines=[listed(machine) for machine in machines.values()],
        gateway_firewall=[{"protocol": "udp", "port": 41641, "source": str(EVERYWHERE)}],
    )

    def add(stack: Json) -> None:
        stack["regions"].append(region)

    with dev.edited(add):
        yield
    done = dev.up(timeout=400)
    FIGURES.append(f"a rack of ten SSH machines leaves: {done.seconds:.0f} s")
    assert sorted(nodes()) == sorted(MACHINES)
    assert GATEWAY not in tailnet_devices()


@pytest.fixture(scope="module")
def with_a_dead_one(dev: Stand, rack: None) -> Ran:
    """One of the ten has no power when they are to join."""
    cloud.power_off(DEAD)
    done = dev.run("up", timeout=400)
    FIGURES.append(f"nine of ten SSH machines join, one is given up: {done.seconds:.0f} s")
    return done


def test_the_run_fails_and_names_the_dead_machine_and_the_step(
    machines: dict[str, MachineInfo], with_a_dead_one: Ran
) -> None:
    assert with_a_dead_one.code == 1, with_a_dead_one.tail
    dead = machines[DEAD]
    errors = [line for line in with_a_dead_one.text.splitlines() if line.startswith("error:")]
    assert [error for error in errors if DEAD in error] == errors, errors
    assert f"{DEAD}-bootstrap: SSH: cannot reach {dead.ssh_host}:{dead.ssh_port} after" in " ".join(errors)


def test_the_other_nine_are_ready(with_a_dead_one: Ran) -> None:
    assert until("nine are Ready", lambda: all_ready([*MACHINES, *LIVING]), 30)
    assert DEAD not in nodes()


def test_all_that_needs_only_the_nine_is_done(dev: Stand, with_a_dead_one: Ran) -> None:
    made = {urn.rpartition("::")[2] for urn in dev.resources()}
    assert {f"{name}-{step}" for name in LIVING for step in ("bootstrap", "join")} < made
    assert made.isdisjoint({f"{DEAD}-bootstrap", f"{DEAD}-join"})
    dns = get("deployment", "-n", "kube-system", f"coredns-{REGION}")
    assert dns["status"]["availableReplicas"] == dns["spec"]["replicas"] == 2


@pytest.mark.parametrize(("one", "other"), [(GATEWAY, "hub-cp-1"), ("rack-j", "gpu-c"), ("rack-b", "rack-i")])
def test_their_pods_and_those_of_the_others_see_true_addresses(
    with_a_dead_one: Ran, one: str, other: str
) -> None:
    until("witness pods", lambda: witness.pods().keys() >= {one, other}, 60)
    witness.sees(one, other)
    witness.sees(other, one)


@pytest.fixture(scope="module")
def alive(dev: Stand, with_a_dead_one: Ran) -> dict[str, str]:
    """It has power again; what the others were before the next run."""
    cloud.power_on(DEAD)
    before = {name: untouched(name) for name in LIVING}
    done = dev.up(timeout=400)
    FIGURES.append(f"the tenth SSH machine joins later: {done.seconds:.0f} s")
    return before


def test_once_it_is_alive_the_next_run_does_only_what_is_left(dev: Stand, alive: dict[str, str]) -> None:
    assert dev.changes() == {"create": 2}
    assert until("all ten are Ready", lambda: all_ready([*MACHINES, *RACK]), 30)
    assert {name: untouched(name) for name in LIVING} == alive


def test_then_there_is_nothing_left_to_do(dev: Stand, alive: dict[str, str]) -> None:
    assert "no changes" in dev.up().text
