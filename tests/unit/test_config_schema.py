"""A stack file's mistakes: each is named with its path, what was got and what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.problems import stack_problems
from tests.stacks import STACK_FILES, complaints, ssh_region, stack, stack_data

GPU = "tailspan:stack.regions[1]"

MISTAKES: list[tuple[str, Any, str]] = [
    (
        "regions.1.node_cidr",
        "10.1.0.1/24",
        f'{GPU}.node_cidr: got "10.1.0.1/24": has host bits; write 10.1.0.0/24',
    ),
    ("regions.1.node_cidr", "10.1.0.0", "has no prefix length; write 10.1.0.0/32"),
    ("regions.1.node_cidr", 24, "got 24: is not an IPv4 range; write it as address/prefix"),
    ("regions.1.node_cidr", "10.1.0.0/255.255.255.0", "write 10.1.0.0/24"),
    ("regions.1.node_cidr", "10.1.0.0/40", "is not an IPv4 range; write it as address/prefix"),
    ("regions.1.pod_cidr", "fd00::/64", "is IPv6; tailspan plans IPv4 only, write an IPv4 range"),
    ("regions.1.pod_cidr", ..., f"{GPU}.pod_cidr: is missing; write pod_cidr: 10.129.0.0/16"),
    ("regions.1.nodecidr", "10.1.0.0/24", f"{GPU}.nodecidr: unknown key; did you mean node_cidr?"),
    ("regions.1.colour", "red", "unknown key; remove it, or write one of name, provider, node_cidr"),
    ("regions.1.node\ncidr", "red", 'regions[1]."node\\ncidr": unknown key'),
    ("regions.1.kind", "gpus", f'{GPU}.kind: got "gpus": unknown kind; write one of cloud, gpu'),
    ("regions.1.kind", ..., f"{GPU}.kind: is missing; write kind: with one of cloud, gpu"),
    ("regions.1.provider.kind", "gpc", 'provider.kind: got "gpc": unknown kind; write one of lab, ssh'),
    ("regions.1.provider.lan", "l3", f'{GPU}.provider.lan: got "l3": unknown value; write l2 or routed'),
    ("regions.1.provider", "lab", f'{GPU}.provider: got "lab"'),
    ("regions.1.cni", ..., f"{GPU}.cni: is missing; write cni: plain"),
    ("regions.1.name", "GPU_1", "is not a name that DNS can carry; write at most 40 lower-case letters"),
    ("regions.1.machines.0.name", "a" * 41, "write at most 40 lower-case letters"),
    ("regions.1.machines.0.node_ip", "10.1.0.300", "is not an IPv4 address; write one such as 10.1.0.10"),
    (
        "regions.1.machines.0.node_ip",
        "10.1.0.10/24",
        "is a range; write the address alone, for example 10.1.0.10",
    ),
    ("regions.1.machines.0.node_ip", "fd00::1", "write an IPv4 address such as 10.1.0.10"),
    ("regions.1.machines.0.gpu.count", "many", f'{GPU}.machines[0].gpu.count: got "many"'),
    (
        "regions.1.machines.0.host_key",
        "AAAAC3Nza",
        "write one line as `ssh-keyscan -t ed25519 HOST` prints it",
    ),
    ("regions.1.machines.0.port", 70000, "is not a port; write a number from 1 to 65535"),
    ("regions.1.gateway_firewall.0.port", 0, "is not a port; write a number from 1 to 65535"),
    ("regions.1.gateway_firewall.0.protocol", "upd", "unknown value; write tcp or udp"),
    ("regions.0.control_plane.kind", "k3s", "unknown kind; write one of kubeadm, gke, eks"),
    ("kubernetes.version", "v1.33.1", "write all three numbers, for example 1.33.1 (without the v)"),
    (
        "kubernetes.version",
        1.33,
        "kubernetes.version: got 1.33: is not text; write all three numbers, for example 1.33.1",
    ),
    ("kubernetes.endpoint", "localhost", "write one with at least one dot"),
    (
        "kubernetes.unreachable_toleration",
        "1 hour",
        "write a number and a unit, for example 90s, 30m, 1h or 2d",
    ),
    (
        "kubernetes.node_pod_prefix",
        8,
        "input should be greater than or equal to 20; write node_pod_prefix: 24",
    ),
    ("access.allow", [], "write allow: [YOUR.ADDRESS/32], or api: tailnet"),
    ("access.allow", ..., "write allow: [YOUR.ADDRESS/32], or api: tailnet"),
    ("access.allow", ["198.51.100.1"], "write 198.51.100.1/32 for this one address"),
    ("access.api", "open", "unknown value; write public or tailnet"),
    ("images.mirror", "https://registry.example.com/", "write host[:port][/path] without https://"),
    ("tailnet.kind", "wireguard", "unknown kind; write one of headscale, tailscale"),
    ("tailnet.url", "http://headscale.example.com", "write https://HOST"),
    ("tailnet.version", "latest", "is not a version; write all three numbers"),
    ("tailnet.policy", "routes", "unknown value; write verify or own"),
    ("regions", "none", 'tailspan:stack.regions: got "none"'),
]


@pytest.mark.parametrize(
    ("path", "value", "remedy"), MISTAKES, ids=[f"{path}={value}"[:60] for path, value, _ in MISTAKES]
)
def test_a_mistake_is_answered_with_its_remedy(path: str, value: Any, remedy: str) -> None:
    said = complaints((path, value))
    assert remedy in said
    assert all(line.startswith("Pulumi.dev.yaml: tailspan:stack") for line in said.splitlines())


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_every_committed_stack_is_valid(path: Path) -> None:
    _, problems = stack_problems(stack_data(path), path.name)
    assert problems == ()


def test_all_mistakes_come_in_one_error() -> None:
    said = complaints(
        ("regions.1.node_cidr", "10.1.0.1/24"),
        ("kubernetes.version", "1.33"),
        ("regions.0.gatewys", {}),
        ("access.api", 1),
    )
    assert len(said.splitlines()) == 4


def test_one_mistake_is_one_line() -> None:
    assert len(complaints(("regions.1.provider.kind", "gpc")).splitlines()) == 1


def test_the_value_of_an_unknown_key_is_never_shown() -> None:
    said = complaints(("tailnet.apiKey", "tskey-api-1234"))
    assert "tskey-api-1234" not in said
    assert "pulumi config set --secret tailspan:tailnetApiKey" in said


@pytest.mark.parametrize("data", ["text", ["list"], 7])
def test_a_stack_that_is_no_mapping_is_refused(data: Any) -> None:
    config, (problem,) = stack_problems(data, "Pulumi.dev.yaml")
    assert config is None
    assert "is not a mapping; write kubernetes, access, tailnet and regions in it" in problem


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h", 3600), ("2d", 172800), (45, 45)]
)
def test_durations_are_read_as_seconds(text: str | int, seconds: int) -> None:
    assert stack(("kubernetes.unreachable_toleration", text)).kubernetes.unreachable_toleration == seconds


def test_a_tailnet_only_api_needs_no_sources() -> None:
    assert stack(("access", {"api": "tailnet"})).access.allow == ()


def test_machines_over_ssh_and_a_tailscale_tailnet_are_valid() -> None:
    config = stack(
        ("regions.2", ssh_region()),
        ("tailnet", {"kind": "tailscale", "name": "example.com", "version": "1.102.3"}),
        ("images.mirror", "registry.example.com:5000/mirror"),
    )
    assert config.tailnet.kind == "tailscale"
    assert config.tailnet.max_devices == 100
    assert config.tailnet.policy == "verify"
    assert config.regions[2].machines[1].jump == "tx-a"
