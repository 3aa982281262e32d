"""A node group of a running stack: 0, 2, 3 with a dead machine among them, 3, 1 and 0 nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lab import cloud
from tests.lab import guest as guests
from tests.lab import witness
from tests.lab.stand import (
    FIGURES,
    MACHINES,
    Json,
    Ran,
    Stand,
    all_ready,
    console,
    kubectl,
    nodes,
    ready,
    until,
    untouched,
)

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

GUEST = "guest-of-the-group"
FIRST, SECOND, THIRD = "hub-cpu-1", "hub-cpu-2", "hub-cpu-3"


def counted(count: int) -> Callable[[Json], None]:
    def edit(stack: Json) -> None:
        stack["regions"][0]["node_groups"] = [{"name": "cpu", "count": count, "first_ip": "10.0.0.40"}]

    return edit


def scale(dev: Stand, count: int) -> Ran:
    with dev.edited(counted(count)):
        return dev.up()


def machines() -> set[str]:
    return {machine.name for machine in cloud.list_machines()} - set(MACHINES)


@pytest.fixture(scope="module")
def two(dev: Stand) -> Iterator[Ran]:
    """From nothing; and back to nothing after the last test, however that went."""
    seconds: list[float] = []
    done = scale(dev, 2)
    FIGURES.append(f"a node group of two nodes comes: {done.seconds:.0f} s")
    yield done
    for machine in cloud.list_machines():
        if not machine.running:
            cloud.power_on(machine.name)
    seconds.append(dev.up().seconds)
    FIGURES.append(f"a node group goes: {seconds[0]:.0f} s")
    assert sorted(nodes()) == sorted(MACHINES)
    assert machines() == set()


def test_two_nodes_join_at_their_planned_addresses(two: Ran) -> None:
    found = nodes()
    assert ready(found[FIRST])
    assert ready(found[SECOND])
    where = {name: found[name]["status"]["addresses"][0]["address"] for name in (FIRST, SECOND)}
    assert where == {FIRST: "10.0.0.40", SECOND: "10.0.0.41"}
    assert found[SECOND]["spec"]["podCIDR"] == "10.128.41.0/24"
    labels = found[SECOND]["metadata"]["labels"]
    assert labels["node-restriction.kubernetes.io/tailspan-group"] == "cpu"


@pytest.mark.parametrize(("one", "other"), [(FIRST, "gpu-c"), (SECOND, FIRST), ("hub-gw-1", SECOND)])
def test_their_pods_and_the_others_see_true_addresses(two: Ran, one: str, other: str) -> None:
    witness.sees(one, other)
    witness.sees(other, one)


def test_nothing_secret_is_left_of_the_join(two: Ran) -> None:
    tokens = kubectl("get", "secrets", "-n", "kube-system", "-o", "name")
    assert "bootstrap-token" not in tokens
    config = "cat /etc/kubernetes/bootstrap-kubelet.conf"
    secrets = {console(name, config) for name in (FIRST, SECOND)}
    assert len(secrets) == 2, "two machines had one token"


@pytest.fixture(scope="module")
def with_a_dead_one(dev: Stand, two: Ran) -> str:
    """The second machine loses its power, and the group is to have three."""
    cloud.power_off(SECOND)
    with dev.edited(counted(3)):
        said = dev.refused("up", timeout=200)
    return said


def test_a_dead_machine_is_named_and_the_others_are_ready(with_a_dead_one: str) -> None:
    assert "node group hub-cpu: 1 of 3 did not join: machine hub-cpu-2: step 'reach root@" in with_a_dead_one
    found = nodes()
    assert ready(found[FIRST])
    assert ready(found[THIRD])


@pytest.fixture(scope="module")
def three(dev: Stand, with_a_dead_one: str) -> dict[str, str]:
    """The machine is back; what the others were before the next run."""
    cloud.power_on(SECOND)
    before = {name: untouched(name) for name in (FIRST, THIRD)}
    done = scale(dev, 3)
    FIGURES.append(f"a node group converges after one machine was dead: {done.seconds:.0f} s")
    return before


def test_the_next_run_does_only_what_is_left(dev: Stand, three: dict[str, str]) -> None:
    until("all are Ready", lambda: all_ready([FIRST, SECOND, THIRD]), 30)
    assert {name: untouched(name) for name in (FIRST, THIRD)} == three


def test_then_there_is_nothing_left_to_do(dev: Stand, three: dict[str, str]) -> None:
    assert "no changes" in scale(dev, 3).text


@pytest.fixture(scope="module")
def guest(three: dict[str, str]) -> str:
    """A pod that would rather run in the group, and not on its first node."""
    guests.start(GUEST, "kubernetes.io/hostname", SECOND, THIRD)
    return until("the guest runs", lambda: guests.runs_on(GUEST), 40)


@pytest.fixture(scope="module")
def one(dev: Stand, guest: str) -> Ran:
    assert guest in (SECOND, THIRD)
    done = scale(dev, 1)
    FIGURES.append(f"two nodes of a group are drained and go: {done.seconds:.0f} s")
    return done


def test_a_node_is_drained_before_its_machine_goes(one: Ran, guest: str) -> None:
    lines = one.text.splitlines()
    drained = [number for number, line in enumerate(lines) if f"{guest}: drained and deleted" in line]
    gone = [
        number for number, line in enumerate(lines) if "updated lab:MachineGroup hub-cpu-machines" in line
    ]
    assert len(drained) == len(gone) == 1, one.tail
    assert drained < gone
    assert until("the guest runs elsewhere", lambda: guests.runs_on(GUEST), 30) not in (SECOND, THIRD)


def test_only_the_wanted_machine_is_left(one: Ran) -> None:
    assert machines() == {FIRST}
    assert {name for name in nodes() if name.startswith("hub-cpu")} == {FIRST}
    assert ready(nodes()[FIRST])
