"""A GPU machine's share of a node: what its script checks and sets up, its labels, its taint."""

from __future__ import annotations

from pathlib import Path

from network.plan import NodePlan, RegionPlan

RUNTIME_CLASS = "nvidia"
# Which GPU software a node has. Set by the operator and out of a kubelet's reach (Kubernetes: NodeRestriction).
SOFTWARE_LABEL = "node-restriction.kubernetes.io/tailspan-gpu-software"
# The key that NVIDIA's own manifests, charts and most clouds use: pods that know one cloud's GPUs tolerate ours.
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
STEPS = ("gpu_preflight", "gpu_packages", "gpu_runtime")
UNIT = "/etc/systemd/system/tailspan-gpu.service"

# Anew at every boot, because a new driver has other files. Symlinks under /dev/char: without them runc's systemd
# cgroups lose the GPUs at the next daemon-reload (https://github.com/NVIDIA/nvidia-docker/issues/1730).
GPU_UNIT = """\
[Unit]
Description=tailspan: how containers get this machine's GPUs (CDI)
After=nvidia-persistenced.service nvidia-fabricmanager.service
Before=containerd.service kubelet.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/usr/bin/nvidia-ctk system create-dev-char-symlinks --create-all
ExecStart=/usr/bin/nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml

[Install]
WantedBy=multi-user.target
"""

# CDI is off by default in containerd 1.7, and on in 2.0.
CONTAINERD_CDI = """\
  enable_cdi = true
  cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]
"""
# Not the default runtime: with it any pod whose image sets NVIDIA_VISIBLE_DEVICES would get every GPU.
CONTAINERD_RUNTIME = f"""\
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{RUNTIME_CLASS}]
        runtime_type = "io.containerd.runc.v2"
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{RUNTIME_CLASS}.options]
          BinaryName = "/usr/bin/nvidia-container-runtime"
          SystemdCgroup = @SYSTEMD_CGROUP@
"""


def is_gpu_node(node: NodePlan, region: RegionPlan) -> bool:
    """Whether a node's GPUs are tailspan's business."""
    return node.gpu is not None and region.gpu_software != "none"


def gpu_values(node: NodePlan, region: RegionPlan) -> dict[str, str]:
    """The shell variables of a GPU machine's script."""
    if node.gpu is None or not is_gpu_node(node, region):
        return {}
    return {"GPU_TYPE": node.gpu.type, "GPU_COUNT": str(node.gpu.count)}


def gpu_functions(node: NodePlan, region: RegionPlan) -> str:
    """The steps of files/gpu.sh; on other machines they do nothing."""
    if is_gpu_node(node, region):
        return (Path(__file__).parent / "files" / "gpu.sh").read_text()
    return "".join(f"{step}() {{\n  :\n}}\n" for step in STEPS)


def gpu_labels(node: NodePlan, region: RegionPlan) -> dict[str, str]:
    """What the operator declares of a node's GPUs."""
    if node.gpu is None:
        return {}
    labels = {"tailspan.dev/gpu": node.gpu.type, "tailspan.dev/gpu-count": str(node.gpu.count)}
    return labels | ({SOFTWARE_LABEL: region.gpu_software} if is_gpu_node(node, region) else {})


def gpu_taints(node: NodePlan, region: RegionPlan) -> list[dict[str, str]]:
    """What keeps other pods away, where the region wants that."""
    return [dict(TAINT)] if node.gpu and region.gpu_taint else []
