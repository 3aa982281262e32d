"""Gateways in a node pool: what the plan refuses, and what a container does to the node before Tailscale starts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from bootstrap.images import Images
from bootstrap.pool_gateway import PoolGateway, pool_gateway
from config.schema import StackConfig
from network.plan import NetworkPlanError, plan_network
from tests.components.managed import AWS, EKS, GCP, GKE, data
from tests.stacks import put, stack_data

POOL = ("regions.0.gateways", {"count": 1, "shape": "node-pool"})


def says(stack: dict[str, Any], *edits: tuple[str, Any]) -> tuple[str, ...]:
    for path, value in edits:
        put(stack, path, value)
    try:
        plan_network(StackConfig.model_validate(stack))
    except NetworkPlanError as error:
        return error.problems
    return ()


def on_gke(*edits: tuple[str, Any]) -> tuple[str, ...]:
    return says(data(GKE, GCP), POOL, *edits)


def test_one_gateway_on_gke_is_planned() -> None:
    assert on_gke() == ()


def test_more_than_one_is_refused_with_the_reason() -> None:
    (line,) = on_gke(("regions.0.gateways.count", 2))
    assert line == (
        "region hub: gateways.shape node-pool with count: 2, but it takes one gateway: GKE chooses its address, and "
        "gateways find each other by planned ones; write shape: vm for more, or count: 1"
    )


def test_an_address_of_its_own_is_refused() -> None:
    (line,) = on_gke(("regions.0.gateways.first_ip", "10.0.0.30"))
    assert "gateways.first_ip 10.0.0.30 with shape node-pool, but GKE hands out the address" in line


def test_a_route_to_one_machine_is_refused() -> None:
    (line,) = on_gke(("regions.0.provider.routes", "instance"))
    assert "write routes: load-balancer, or shape: vm" in line


def test_no_other_machine_may_be_named_like_googles() -> None:
    (line,) = on_gke(("regions.1.machines.1.name", "gke-b"))
    assert line.startswith("region tx, machine gke-b: the name begins with gke-")


def test_eks_makes_no_node_pool() -> None:
    found = says(data(EKS, AWS, ("access.api", "tailnet")), POOL)
    assert found == (
        "region hub: gateways.shape node-pool with control_plane eks, which makes no node pools for it; write "
        "shape: vm, or control_plane: {kind: gke}",
    )


def test_kubeadm_makes_no_node_pool() -> None:
    found = says(stack_data(), ("regions.0.gateways.shape", "node-pool"))
    assert [line for line in found if "gateways.shape node-pool with control_plane kubeadm" in line]


def test_its_node_needs_a_pod_range_too() -> None:
    found = on_gke(("regions.0.pod_cidr", "10.128.0.0/22"))
    assert any("holds /24 ranges for 2 of GKE's nodes, the node groups are 3" in line for line in found)


def the_pool() -> PoolGateway:
    stack = data(GKE, GCP)
    put(stack, *POOL)
    plan = plan_network(StackConfig.model_validate(stack))
    found = pool_gateway(plan.hub, plan)
    assert found
    return found


def ran(tmp_path: Path, *, default: str, forwards: str = "1") -> tuple[int, list[str], str]:
    """The container's command, with programs that only write down how they are called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("ip", "iptables"):
        answer = f'[ "$*" = "-4 route show default" ] && echo "{default}"\n' if name == "ip" else ""
        fails = 'case " $* " in *" -C "*) exit 1;; esac\n'
        (programs / name).write_text(
            f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/calls\n{answer}{fails}exit 0\n'
        )
        (programs / name).chmod(0o755)
    (tmp_path / "sys/net/ipv4").mkdir(parents=True)
    (tmp_path / "sys/net/ipv4/ip_forward").write_text(f"{forwards}\n")
    box = the_pool().prepares(Images(tailscale_version="1.98.10"))
    env = {row["name"]: row["value"] for row in box["env"] if "value" in row}
    done = subprocess.run(
        box["command"],
        env=env | {"NODE_IP": "10.0.2.7", "PROC": str(tmp_path), "PATH": f"{programs}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    calls = tmp_path / "calls"
    return done.returncode, calls.read_text().splitlines() if calls.exists() else [], done.stderr


def test_the_node_is_told_what_machines_of_the_stack_are_told(tmp_path: Path) -> None:
    code, calls, errors = ran(
        tmp_path, default="default via 10.0.2.1 dev eth0 proto dhcp src 10.0.2.7 metric 1024"
    )
    assert (code, errors) == (0, "")
    for cidr in ("10.0.0.0/22", "10.128.0.0/14", "10.96.0.0/16"):
        assert f"ip route replace {cidr} via 10.0.2.1 dev eth0 onlink proto 177" in calls
        assert f"ip rule add to {cidr} lookup main pref 2500" in calls
    assert "ip route replace unreachable 10.128.0.0/9 metric 4096 proto 177" in calls
    assert "ip route replace local 10.0.1.253/32 dev eth0 table local proto 177" in calls
    source = "iptables -w -t nat -A TAILSPAN-SOURCE"
    assert f"{source} -d 10.0.3.240/28 -p tcp --dport 443 ! -s 10.0.2.7 -j MASQUERADE" in calls
    assert f"{source} -o tailscale0 -s 100.64.0.0/10 -d 10.128.0.0/9 -j SNAT --to-source 10.0.2.7" in calls
    mss = f"-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {the_pool().plan.mss}"
    assert f"iptables -w -t mangle -A TAILSPAN-MSS -o tailscale0 {mss}" in calls
    # Nothing else takes the source from a packet: other regions see pods' own addresses.
    assert len([call for call in calls if "MASQUERADE" in call or "SNAT" in call]) == 3


def test_only_the_probes_of_the_balancer_learn_its_health(tmp_path: Path) -> None:
    _, calls, _ = ran(tmp_path, default="default via 10.0.2.1 dev eth0")
    asked = [call for call in calls if "--dport 41644" in call]
    assert [call.rsplit(" ", 1)[-1] for call in asked] == ["RETURN"] * (len(asked) - 1) + ["DROP"]
    assert len(asked) == len(the_pool().region.health_sources) + 1 > 1


@pytest.mark.parametrize(
    ("default", "forwards", "said"),
    [
        ("", "1", "the node has no default route"),
        ("default via 10.0.2.1 dev eth0", "0", "does not forward packets"),
    ],
)
def test_a_node_that_cannot_be_a_gateway_says_why(
    tmp_path: Path, default: str, forwards: str, said: str
) -> None:
    code, calls, errors = ran(tmp_path, default=default, forwards=forwards)
    assert code == 1
    assert said in errors
    assert not [call for call in calls if call.startswith("iptables")]
