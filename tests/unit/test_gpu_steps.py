"""What a GPU machine's script says of its driver, GPUs and toolkit, run by bash on a machine made of files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootstrap.script import FILES

DRIVER = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.10\n"


@dataclass
class Machine:
    """A scratch root, and programs in front of the host's own."""

    root: Path

    def put(self, path: str, text: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def program(self, name: str, body: str) -> None:
        self.put(f"usr/bin/{name}", f"#!/bin/sh\n{body}\n")
        (self.root / "usr/bin" / name).chmod(0o755)

    def device(self, number: int, vendor: str = "0x10de", kind: str = "0x030200") -> None:
        self.put(f"sys/bus/pci/devices/0000:{number:02x}:00.0/vendor", f"{vendor}\n")
        self.put(f"sys/bus/pci/devices/0000:{number:02x}:00.0/class", f"{kind}\n")

    def driver(self, *names: str) -> None:
        self.put("proc/driver/nvidia/version", DRIVER)
        self.program("nvidia-smi", "".join(f"echo '{name}'\n" for name in names))

    def toolkit(self) -> None:
        for name in ("nvidia-cdi-hook", "nvidia-container-runtime"):
            self.program(name, "exit 0")
        self.program("nvidia-ctk", "echo nvidia.com/gpu=0; echo nvidia.com/gpu=all")

    def run(self, step: str) -> tuple[int, str]:
        node = (FILES / "node.sh").read_text()
        helpers = node[node.index("say() {") : node.index("# put MODE PATH")]
        steps = (FILES / "gpu.sh").read_text()
        for place in ("/proc/driver/", "/sys/bus/", "/usr/bin/"):
            steps = steps.replace(place, f"{self.root}{place}")
        text = f"set -euo pipefail\nNODE_NAME=tx-b GPU_TYPE=H100-80GB GPU_COUNT=2\n{helpers}{steps}\n{step}\n"
        done = subprocess.run(
            ["bash"], input=text, text=True, capture_output=True, check=False,
            # The host's own programs, without whatever it has of NVIDIA's or of apt.
            env={"PATH": f"{self.root}/usr/bin:{self.root}/tools"},
        )  # fmt: skip
        return done.returncode, done.stderr

    def fails(self, step: str) -> str:
        code, said = self.run(step)
        assert code == 1, said
        assert f"tailspan[tx-b] FAILED at {STEP_NAMES[step]}: " in said
        return said


STEP_NAMES = {
    "gpu_preflight": "GPU driver",
    "gpu_packages": "NVIDIA container toolkit",
    "gpu_runtime": "GPUs for containers",
}
TOOLS = ("awk", "bash", "cat", "grep", "head", "sh", "sort", "timeout", "tr")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "tools").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        os.symlink(found, tmp_path / "tools" / tool)
    made = Machine(tmp_path)
    made.device(0, vendor="0x8086", kind="0x030000")
    made.program("containerd", "echo containerd github.com/containerd/containerd v1.7.24 abc")
    made.program("systemctl", 'echo "systemctl $*" >&2')
    made.program("journalctl", "echo it said why")
    return made


@pytest.fixture
def h100s(machine: Machine) -> Machine:
    """Two of them, and what else an HGX board has of NVIDIA."""
    machine.device(1)
    machine.device(2)
    machine.device(3, kind="0x068000")
    machine.driver("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3")
    machine.toolkit()
    return machine


@pytest.mark.parametrize("step", STEP_NAMES)
def test_a_machine_with_all_of_it_passes(h100s: Machine, step: str) -> None:
    code, said = h100s.run(step)
    assert (code, "WARNING" in said) == (0, False), said


def test_a_machine_without_gpus_is_named_with_what_was_rented(machine: Machine) -> None:
    said = machine.fails("gpu_preflight")
    assert "the stack file says gpu: {type: H100-80GB, count: 2}, and there is no NVIDIA device" in said
    assert "or take gpu out" in said


def test_gpus_without_a_driver_say_how_to_get_one(machine: Machine) -> None:
    machine.device(1)
    machine.device(2)
    said = machine.fails("gpu_preflight")
    assert "2 NVIDIA GPUs and no driver (" in said
    assert "ubuntu-drivers install --gpgpu" in said
    assert "gpu_software: none" in said


def test_a_driver_without_nvidia_smi_is_told(h100s: Machine) -> None:
    (h100s.root / "usr/bin/nvidia-smi").unlink()
    said = h100s.fails("gpu_preflight")
    assert "Kernel Module  570.86.10), and nvidia-smi is missing: install" in said


def test_a_broken_driver_is_quoted(h100s: Machine) -> None:
    h100s.program("nvidia-smi", "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    said = h100s.fails("gpu_preflight")
    assert "nvidia-smi fails: Failed to initialize NVML: Driver/library version mismatch" in said
    assert "reboot the machine if its driver was just updated" in said


@pytest.mark.parametrize("found", [1, 3])
def test_another_number_of_gpus_is_refused(h100s: Machine, found: int) -> None:
    h100s.driver(*["NVIDIA H100 80GB HBM3"] * found)
    said = h100s.fails("gpu_preflight")
    assert f"nvidia-smi finds {found} GPUs, the PCI bus has 2, and the stack file says gpu:" in said
    assert f"write gpu.count: {found}" in said


def test_another_name_of_the_gpu_is_a_warning(h100s: Machine) -> None:
    h100s.driver("NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB")
    code, said = h100s.run("gpu_preflight")
    assert code == 0
    assert (
        "WARNING the stack file says gpu.type: H100-80GB, and nvidia-smi says NVIDIA A100-SXM4-80GB" in said
    )


def test_a_missing_toolkit_without_apt_says_what_to_install(machine: Machine) -> None:
    said = machine.fails("gpu_packages")
    assert (
        "usr/bin/nvidia-ctk is missing, and there is no apt-get here: install nvidia-container-toolkit"
        in said
    )


@pytest.mark.parametrize("answer", ["Candidate: (none)", ""])
def test_no_package_source_is_added_behind_the_owners_back(machine: Machine, answer: str) -> None:
    machine.program("apt-get", 'echo "apt-get $*" >&2')
    machine.program("apt-cache", f"echo '  {answer}'")
    said = machine.fails("gpu_packages")
    assert "no package source of the machine has nvidia-container-toolkit: add NVIDIA's source" in said
    assert "install" not in re.findall(r"^apt-get .*", said, re.MULTILINE)[-1]


def installs(machine: Machine, *binaries: str) -> None:
    machine.program("apt-cache", "echo '  Candidate: 1.17.8-1'")
    places = " ".join(f"{machine.root}/usr/bin/{name}" for name in binaries)
    body = f'case "$*" in *install*) for f in {places}; do cp {machine.root}/usr/bin/containerd "$f"; done ;; esac'
    machine.program("apt-get", body)
    os.symlink(shutil.which("cp") or "", machine.root / "tools/cp")


def test_the_toolkit_is_installed_where_the_machine_has_a_source_of_it(machine: Machine) -> None:
    installs(machine, "nvidia-ctk", "nvidia-cdi-hook", "nvidia-container-runtime")
    code, said = machine.run("gpu_packages")
    assert code == 0, said


def test_a_toolkit_that_is_too_old_is_told(machine: Machine) -> None:
    installs(machine, "nvidia-ctk", "nvidia-container-runtime")
    said = machine.fails("gpu_packages")
    assert "nvidia-container-toolkit 1.17.8-1 has no" in said
    assert "usr/bin/nvidia-cdi-hook, it is too old" in said


@pytest.mark.parametrize(
    ("version", "passes"), [("1.6.20~ds1", False), ("1.7.0", True), ("v2.1.4", True), ("v1.10.1", True)]
)
def test_containerd_must_know_cdi(h100s: Machine, version: str, passes: bool) -> None:
    h100s.program("containerd", f"echo containerd github.com/containerd/containerd {version} x")
    if passes:
        assert h100s.run("gpu_packages")[0] == 0
    else:
        assert f"containerd {version} cannot give GPUs to containers by CDI" in h100s.fails("gpu_packages")


def test_the_devices_are_described_at_once_and_at_every_boot(h100s: Machine) -> None:
    said = h100s.run("gpu_runtime")[1]
    assert re.findall(r"^systemctl .*", said, re.MULTILINE) == [
        "systemctl enable -q --no-reload tailspan-gpu",
        "systemctl restart tailspan-gpu",
    ]


def test_a_description_that_fails_is_quoted(h100s: Machine) -> None:
    h100s.program("systemctl", '[ "$1" != restart ]')
    assert "nvidia-ctk cdi generate: it said why" in h100s.fails("gpu_runtime")


def test_a_description_without_devices_is_told(h100s: Machine) -> None:
    h100s.program("nvidia-ctk", "echo 'Found 0 CDI devices' >&2")
    assert "nvidia-ctk cdi list does not name nvidia.com/gpu=all" in h100s.fails("gpu_runtime")
