"""The dev stack as `make up` leaves it: the machines, the operator's way in, the checkup, secrets, memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from lab import headscale, processes
from tests.lab import witness
from tests.lab.secrets_of_stack import Secret, secrets_of
from tests.lab.stand import (
    FIGURES,
    MACHINES,
    Stand,
    all_ready,
    arguments_of_everybody,
    command,
    console,
    get,
    kubectl,
    nodes,
    tailnet_devices,
    untouched,
)
from tools import paths

# The first test waits for the whole stack.
pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

CIDRS = {"hub": IPv4Network("10.0.0.0/24"), "gpu": IPv4Network("10.1.0.0/24")}
GIB = 2**30


def test_up_is_as_fast_as_promised(dev: Stand) -> None:
    assert dev.first_up is not None
    assert dev.first_up.seconds < 120, dev.first_up.tail


def test_every_machine_is_a_ready_node_at_its_planned_address(dev: Stand) -> None:
    found = nodes()
    assert sorted(found) == sorted(MACHINES)
    assert all_ready()
    for name, node in found.items():
        addresses = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
        assert [IPv4Address(address) in CIDRS[name.partition("-")[0]] for address in addresses] == [True]
        assert node["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.33.")


@pytest.mark.parametrize("name", [machine for machine in MACHINES if machine != "hub-cp-1"])
def test_a_worker_asks_anew_once_it_is_admitted_and_its_static_pods_live_on(dev: Stand, name: str) -> None:
    """A kubelet that was refused before would ask for its pods up to a minute later."""
    issued, kubelet, pods = console(
        name,
        """stat -c %Y /var/lib/kubelet/pki/kubelet-client-current.pem
date -d "$(systemctl show kubelet -p ExecMainStartTimestamp --value)" +%s
ls -d /var/log/pods/tailscale_apiserver-connector* 2>/dev/null | wc -l""",
    ).split()
    assert int(issued) <= int(kubelet) <= int(issued) + 30
    if name in ("gpu-a", "gpu-b"):
        restarts = console(name, "ls /var/log/pods/tailscale_apiserver-connector*/tailscale | sort | tail -1")
        assert (pods, restarts.strip()) == ("1", "0.log")


def test_the_printed_kubeconfig_works_for_the_operator(dev: Stand) -> None:
    assert dev.first_up is not None
    file = paths.lab_dir() / "kubeconfig"
    assert f"export KUBECONFIG={file}" in dev.first_up.text
    assert file.stat().st_mode & 0o077 == 0
    assert "hub-cp-1" in kubectl("get", "nodes", "-o", "wide")


def test_a_second_up_changes_nothing_and_runs_nothing_again(dev: Stand) -> None:
    before = {name: untouched(name) for name in MACHINES}
    with arguments_of_everybody(dev.seen_arguments):
        again = dev.up()
    assert "no changes" in again.text, again.tail
    assert dev.changes() == {}
    assert {name: untouched(name) for name in MACHINES} == before
    FIGURES.append(f"`python -m lab up` again, no changes: {again.seconds:.1f} s")


@pytest.mark.parametrize(
    ("one", "other"), [("gpu-c", "hub-gw-2"), ("hub-cp-1", "gpu-c"), ("gpu-b", "hub-gw-1")]
)
def test_pods_of_two_regions_see_each_others_true_addresses(dev: Stand, one: str, other: str) -> None:
    witness.sees(one, other)
    witness.sees(other, one)


@pytest.fixture(scope="module")
def checkup(dev: Stand) -> list[dict[str, Any]]:
    done = command(["-m", "check", "--json"], dev.logs / "check.log", 150)
    start = done.text.find("{\n")
    assert start >= 0, f"`python -m check --json` printed no findings:\n{done.tail}"
    report = json.JSONDecoder().raw_decode(done.text[start:])[0]
    bad = [row for row in report["results"] if not row["ok"]]
    assert (done.code, bad) == (0, []), json.dumps(bad, indent=2)
    FIGURES.append(f"`python -m check`: {done.seconds:.0f} s, {len(report['results'])} rows")
    rows: list[dict[str, Any]] = report["results"]
    return rows


@pytest.mark.parametrize(
    ("name", "subjects"),
    [
        ("nodes", {"hub", "gpu"}),
        ("pod to pod, source kept", {"hub to gpu", "gpu to hub", "hub to hub", "gpu to gpu"}),
        ("pod to pod over UDP", {"hub to gpu", "gpu to hub"}),
        ("pod to Service", {"hub to gpu", "gpu to hub"}),
        ("DNS", {"hub", "gpu"}),
        ("kubectl logs", {"gpu-c"}),
        ("kubectl exec", {"gpu-c"}),
        ("transfer", {"hub to gpu", "gpu to hub"}),
        ("gateway links direct", {f"hub-gw-{i} to gpu-{k}" for i in (1, 2) for k in "ab"}),
        ("LAN traffic stays on the LAN", {"hub", "gpu"}),
        ("packet size", {"hub to gpu", "gpu to hub"}),
        ("TCP segment size", {"hub to gpu", "gpu to hub"}),
    ],
)
def test_the_checkup_proves(checkup: list[dict[str, Any]], name: str, subjects: set[str]) -> None:
    assert subjects <= {row["subject"] for row in checkup if row["name"] == name and row["ok"]}


def test_the_checkup_takes_its_probes_away(checkup: list[dict[str, Any]]) -> None:
    found = {item["metadata"]["name"]: item["status"]["phase"] for item in get("namespaces")["items"]}
    assert {phase for name, phase in found.items() if "tailspan-check" in name} <= {"Terminating"}


# -- secrets


@pytest.fixture(scope="module")
def secrets(dev: Stand) -> list[Secret]:
    return secrets_of(dev)


def test_no_secret_is_in_what_the_launcher_says(dev: Stand, secrets: list[Secret]) -> None:
    said = "".join(log.read_text(errors="replace") for log in dev.logs.glob("*.log"))
    assert [secret.what for secret in secrets if secret.value in said] == []


def test_no_secret_was_in_any_command_line(dev: Stand, secrets: list[Secret]) -> None:
    seen = "\n".join(dev.seen_arguments)
    # The watch was long and close enough to have caught what the secrets are handed to.
    expected = ("ops\0v1\0join", "lab.plugins.serve", "kubeadm\0init", "tailscaled\0", "-s\0--\0join")
    assert [words for words in expected if words not in seen] == []
    assert [secret.what for secret in secrets if secret.value in seen] == []


def test_secrets_are_only_in_files_made_for_them(dev: Stand, secrets: list[Secret]) -> None:
    """State, logs, headscale's database, what is on the machines' disks; but not Kubernetes' own database."""
    misplaced, looked = [], set[str]()
    for file in _files_of_the_lab():
        content = file.read_bytes()
        looked.add(file.name)
        for secret in secrets:
            allowed = any(str(file).endswith(f"/{place}") for place in secret.may_be_in)
            if secret.value.encode() in content and not allowed:
                misplaced.append(f"{secret.what} in {file.relative_to(paths.lab_dir())}")
    assert misplaced == []
    assert {"dev.json", "headscale.log", "db.sqlite", "bootstrap-kubelet.conf"} <= looked


def _files_of_the_lab() -> Iterator[Path]:
    for folder, below, names in os.walk(paths.lab_dir()):
        # Image layers are not the stack's, and etcd is the one place where Kubernetes keeps its Secrets.
        below[:] = [name for name in below if name not in ("etcd", "io.containerd.content.v1.content")]
        for file in (Path(folder, name) for name in names):
            layer = "io.containerd.snapshotter" in folder and file.lstat().st_nlink > 1
            if file.is_file() and not file.is_symlink() and not layer and file.stat().st_size < 100 * 2**20:
                yield file


def test_no_secret_is_in_the_machines_journals(dev: Stand, secrets: list[Secret]) -> None:
    said = {name: console(name, "journalctl --no-pager -o cat; cat /var/log/*.log") for name in MACHINES}
    found = [f"{s.what} on {name}" for name, text in said.items() for s in secrets if s.value in text]
    assert found == []


def test_tailnet_keys_are_used_up_and_gone_from_the_gateways(dev: Stand) -> None:
    devices = tailnet_devices()
    assert sorted(devices) == ["gpu-a", "gpu-b", "hub-gw-1", "hub-gw-2"]
    for device in devices.values():
        key = device["pre_auth_key"]
        assert key["used"]
        assert not key.get("reusable")
        assert key["acl_tags"] == [f"tag:tailspan-{device['name'].partition('-')[0]}"]
    for gateway in ("gpu-a", "gpu-b"):
        assert console(gateway, "ls -A /etc/tailspan/connector") == ""


def test_the_lab_needs_little_memory(dev: Stand) -> None:
    (folder,) = [f for f in processes.cgroup_folders() if f.parent.name in ("memory", "cgroup")]
    newer = folder / "memory.current"
    usage = int((newer if newer.exists() else folder / "memory.usage_in_bytes").read_text())
    numbers = {
        key: int(value) for key, value in map(str.split, (folder / "memory.stat").read_text().splitlines())
    }
    prefix = "" if newer.exists() else "total_"
    cache = numbers[f"{prefix}inactive_file"] + numbers[f"{prefix}active_file"]
    pid = processes.daemon("headscale")
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    server = int(status["VmRSS"].split()[0]) * 1024
    total = usage - cache + server
    FIGURES.append(
        f"memory of the lab, {len(MACHINES)} machines and headscale, without page cache: {total / GIB:.2f} GiB"
    )
    assert total < 6 * GIB
    assert headscale.folder().is_dir()
