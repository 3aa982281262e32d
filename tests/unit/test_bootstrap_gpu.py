"""GPU machines: what is written onto them and about them, and what the plan refuses."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from bootstrap.gpu import GPU_UNIT, RUNTIME_CLASS, SOFTWARE_LABEL, UNIT, gpu_labels, gpu_taints
from bootstrap.script import FILES, Join, node_script
from config.schema import StackConfig
from network.plan import NetworkPlanError, NodePlan, RegionPlan, plan_network
from tests.components.node_scripts import check_syntax, values_in, written_by
from tests.stacks import put, ssh_region, stack, stack_data
from tests.unit.test_bootstrap_scripts import CA, TOKEN, cluster, script

GPU = {"type": "H100-80GB", "count": 2}
CONTAINERD = "/etc/containerd/config.toml"


def region_with_gpus(**changes: Any) -> RegionPlan:
    region = ssh_region(
        gateway_firewall=[{"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}], **changes
    )
    region["machines"][1]["gpu"] = GPU
    return plan_network(stack(("regions.2", region))).region("tx")


def node_of(region: RegionPlan, name: str) -> NodePlan:
    return next(node for node in region.nodes if node.name == name)


def script_of(region: RegionPlan, name: str = "tx-b") -> str:
    return node_script(cluster(), region, node_of(region, name), Join(ca=CA, token=TOKEN))


# -- what a machine is given


def test_a_gpu_machines_script_is_valid_bash_and_knows_what_was_rented() -> None:
    text = script_of(region_with_gpus())
    check_syntax(text)
    assert values_in(text, "GPU_TYPE", "GPU_COUNT") == {"GPU_TYPE": "H100-80GB", "GPU_COUNT": "2"}


@pytest.mark.parametrize(
    ("name", "changes"), [("tx-a", {}), ("tx-b", {"gpu_software": "none"})], ids=["no GPU", "none"]
)
def test_a_machine_whose_gpus_are_nobodys_business_is_asked_nothing(
    name: str, changes: dict[str, Any]
) -> None:
    text = script_of(region_with_gpus(**changes), name)
    assert "nvidia" not in text.replace("https://github.com/NVIDIA/nvidia-docker", "").lower()
    assert UNIT not in written_by(text)
    assert SOFTWARE_LABEL not in gpu_labels(
        node_of(region_with_gpus(**changes), name), region_with_gpus(**changes)
    )


def test_in_the_lab_nothing_of_it_is_asked_or_written() -> None:
    text = script("gpu-c")
    assert "nvidia-smi" not in text
    assert "enable_cdi" not in written_by(text)[CONTAINERD]


def test_containerd_knows_cdi_and_the_runtime_but_gives_no_pod_gpus_unasked() -> None:
    text = written_by(script_of(region_with_gpus()))[CONTAINERD].replace("@SYSTEMD_CGROUP@", "true")
    plugin = tomllib.loads(text.replace("@RESTRICT_OOM@", "false"))["plugins"]["io.containerd.grpc.v1.cri"]
    assert plugin["enable_cdi"] is True
    assert "/var/run/cdi" in plugin["cdi_spec_dirs"]
    assert plugin["containerd"]["default_runtime_name"] == "runc"
    runtime = plugin["containerd"]["runtimes"][RUNTIME_CLASS]
    assert runtime["options"] == {"BinaryName": "/usr/bin/nvidia-container-runtime", "SystemdCgroup": True}


def test_the_devices_are_described_anew_before_any_container_starts() -> None:
    assert written_by(script_of(region_with_gpus()))[UNIT] == GPU_UNIT
    assert "Before=containerd.service kubelet.service" in GPU_UNIT
    written = "ExecStart=/usr/bin/nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml"
    assert written in GPU_UNIT


def test_a_region_may_keep_other_pods_from_its_gpus() -> None:
    plain, tainted = region_with_gpus(), region_with_gpus(gpu_taint=True)
    assert gpu_taints(node_of(plain, "tx-b"), plain) == []
    assert gpu_taints(node_of(tainted, "tx-b"), tainted) == [
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    ]
    assert gpu_taints(node_of(tainted, "tx-a"), tainted) == []


def test_systemd_reads_its_units_anew_in_one_place_before_there_is_a_pod() -> None:
    """NVIDIA/nvidia-docker#1730: a daemon-reload may take the GPUs from running containers."""
    text = (
        (FILES / "node.sh").read_text() + (FILES / "worker.sh").read_text() + (FILES / "gpu.sh").read_text()
    )
    functions = dict(re.findall(r"^(\w+)\(\) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL))
    reloads = {name for name, body in functions.items() if "daemon-reload" in body}
    assert reloads == {"reload_units", "leave"}
    enabling = [line for line in text.splitlines() if "systemctl enable" in line]
    assert len(enabling) == 4
    assert all("--no-reload" in line for line in enabling)
    steps = functions["join"].split()
    assert steps.index("write_files") < steps.index("reload_units") < steps.index("gpu_runtime")
    assert steps.index("gpu_runtime") < steps.index("runtime") < steps.index("machine_role")
    assert steps.index("preflight") < steps.index("gpu_preflight") < steps.index("packages")


def test_every_unit_that_a_script_writes_is_read_anew_when_it_changed() -> None:
    text = (FILES / "node.sh").read_text()
    reload = text[text.index("reload_units() {") : text.index("network() {")]
    units = {
        path for path in written_by(script_of(region_with_gpus())) if path.startswith("/etc/systemd/system/")
    }
    assert units == set(re.findall(r"/etc/systemd/system/\S+?(?=[ ;\n])", reload))


# -- what the plan refuses


def refusal(*edits: tuple[str, Any]) -> str:
    data = stack_data()
    for path, value in edits:
        put(data, path, value)
    with pytest.raises(NetworkPlanError) as refused:
        plan_network(StackConfig.model_validate(data))
    return "\n".join(refused.value.problems)


@pytest.mark.parametrize("software", ["device-plugin", "operator"])
def test_the_lab_has_no_gpu_to_offer(software: str) -> None:
    said = refusal(("regions.1.gpu_software", software))
    assert f"region gpu: gpu_software is {software}, but machines of the lab have no GPU" in said


def test_the_operator_knows_no_regions() -> None:
    one, other = ssh_region(gpu_software="operator"), ssh_region(gpu_software="device-plugin")
    other |= {"name": "ny", "node_cidr": "10.4.0.0/24", "pod_cidr": "10.132.0.0/16"}
    other["machines"] = [
        {
            "name": f"ny-{letter}",
            "node_ip": f"10.4.0.{10 + number}",
            "address": f"198.51.100.{40 + number}",
            "host_key": one["machines"][0]["host_key"],
            "gateway": number == 0,
        }
        for number, letter in enumerate("ab")
    ]
    one["machines"][0]["gpu"] = other["machines"][0]["gpu"] = GPU
    without = [
        ("regions.1.machines.2.gpu", ...),
        ("regions.1.machines.1.gpu", ...),
        ("regions.1.machines.0.gpu", ...),
    ]
    said = refusal(*without, ("regions.2", one), ("regions.3", other))
    assert "gpu_software is operator in tx" in said
    assert (
        "but ny has device-plugin; write gpu_software: operator in all regions with GPUs, or in none" in said
    )
