"""Gateways of the whole cluster that are drained, updated, cut off power: real pods, kubelets, CNI and kube-proxy.

How fast and how often without any loss is a matter of many runs on a quiet machine (`make bench-failover`). A rolling
update has lost the probes of one moment here; that none is lost is what the bench promises and counts.
"""

from __future__ import annotations

import pytest

from lab.rig import cluster, cutoff, table
from lab.rig.result import Result
from tests.lab.stand import FIGURES, Stand, all_ready, console, get, kubectl, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

EVENTS = ("drain", "rolling", "power_off", "without_api")
# Two probes of a flow in a row.
MOMENT = 0.05
CUT_OFF_SECONDS = 60


@pytest.fixture(scope="module")
def measured(dev: Stand) -> dict[tuple[str, str], Result]:
    found: dict[tuple[str, str], Result] = {}
    cluster.measure(1, ",".join(EVENTS), lambda one: found.update({(one.event, one.part): one}))
    for (event, part), one in found.items():
        _, step = cluster.step_of(event, part)
        FIGURES.append(f"whole cluster: {step.title}: {table.cell([one], step)}")
    return found


@pytest.mark.parametrize("event", EVENTS)
def test_traffic_between_regions_goes_on(measured: dict[tuple[str, str], Result], event: str) -> None:
    parts = [one for (name, _), one in measured.items() if name == event]
    assert parts
    for one in parts:
        assert one.recovered
        assert one.broken == 0


def test_a_drain_loses_not_one_probe(measured: dict[tuple[str, str], Result]) -> None:
    assert measured["drain", "failure"].lost == {"in": 0, "out": 0}


def test_a_rolling_update_costs_a_moment_at_most(measured: dict[tuple[str, str], Result]) -> None:
    assert max(measured["rolling", "failure"].gap.values()) <= MOMENT


def test_nodes_send_through_every_gateway_of_their_region(
    dev: Stand, measured: dict[tuple[str, str], Result]
) -> None:
    cluster.settle()
    for node in cluster.NODES.values():
        metrics = cluster.agent_says(node, "metrics") or ""
        used = [line for line in metrics.splitlines() if "gateway_in_use{" in line]
        assert len(used) == 2
        assert all(line.endswith(" 1") for line in used), used


def test_a_gateway_of_the_daemonset_is_evicted_alone(dev: Stand) -> None:
    budget = get("poddisruptionbudget", "subnet-router", "-n", "tailscale")
    assert budget["spec"]["minAvailable"] == 1
    until(
        "one of two may be evicted",
        lambda: (
            get("poddisruptionbudget", "subnet-router", "-n", "tailscale")["status"]["disruptionsAllowed"]
            == 1
        ),
        60,
    )
    pods = get("pods", "-n", "tailscale", "-l", "app=subnet-router")["items"]
    assert [len(pod["spec"]["containers"]) for pod in pods] == [2, 2]


def test_a_region_that_is_cut_off_goes_on_by_itself_and_comes_back(
    dev: Stand, measured: dict[tuple[str, str], Result]
) -> None:
    """Longer than it takes the control plane to give the nodes up."""
    cluster.settle()
    told = cutoff.measure(CUT_OFF_SECONDS, lambda _: None)
    assert told["holds"], told
    FIGURES.append(f"region cut off for {CUT_OFF_SECONDS} s: back after {told['back']:.1f} s")
    until("all nodes are Ready again", all_ready, 60)


def test_nobody_is_drained_who_is_no_gateway(dev: Stand) -> None:
    with pytest.raises(RuntimeError, match="gpu-c is no gateway of this stack; write GATEWAY= one of: gpu-a"):
        cluster.drain("gpu-c")


def test_an_agent_on_a_node_takes_little(dev: Stand) -> None:
    for machine in ("hub-cp-1", "gpu-c", "gpu-a"):
        script = (
            "pid=$(pgrep -f \"[a]gent.pyz --config\" | head -1); awk '/VmRSS/ {print $2}' /proc/$pid/status"
        )
        kib = int(console(machine, script).split()[0])
        FIGURES.append(f"route agent on {machine}: {kib / 1024:.0f} MiB")
        assert kib <= 60 * 1024


def test_the_pods_of_the_bench_are_gone(dev: Stand, measured: dict[tuple[str, str], Result]) -> None:
    left = kubectl(
        "get", "namespace", cluster.NAMESPACE, "--ignore-not-found", "-o", "jsonpath={.status.phase}"
    )
    assert left in ("", "Terminating")
