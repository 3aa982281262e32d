"""What offers GPUs to pods: NVIDIA's device plugin as objects of our own, or the GPU Operator's chart."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from bootstrap.gpu import RUNTIME_CLASS, SOFTWARE_LABEL, is_gpu_node
from bootstrap.images import Images
from components import kube
from network.plan import NetworkPlan

NAMESPACE = "kube-system"
NAME = "nvidia-device-plugin"
OPERATOR_NAMESPACE = "gpu-operator"
OPERATOR_REPOSITORY = "https://helm.ngc.nvidia.com/nvidia"
OPERATOR_VERSION = "v25.10.0"
# Of many nodes so many lose their plugin at once; running pods keep their GPUs meanwhile.
AT_ONCE = "10%"


class GpuSoftware(pulumi.ComponentResource):
    """
    One for the cluster. Nothing of it is awaited: one dead machine must not stop every update; a node that does not
    offer its GPUs is found by `make check`.
    """

    def __init__(
        self,
        name: str,
        *,
        operator: bool,
        images: Images,
        provider: kubernetes.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tailspan:components:GpuSoftware", name, None, opts)
        child = pulumi.ResourceOptions(parent=self, provider=provider)
        if operator:
            _operator(child)
        else:
            _device_plugin(images, child)
        self.register_outputs({})


def gpu_software(
    plan: NetworkPlan,
    images: Images,
    provider: kubernetes.Provider,
    opts: pulumi.ResourceOptions | None = None,
) -> GpuSoftware | None:
    """The software, or None if no machine has a GPU that is ours to offer."""
    chosen = {
        region.gpu_software
        for region in plan.regions
        if any(is_gpu_node(node, region) for node in region.nodes)
    }
    if not chosen:
        return None
    operator = "operator" in chosen
    return GpuSoftware("gpu-software", operator=operator, images=images, provider=provider, opts=opts)


def _operator(child: pulumi.ResourceOptions) -> None:
    """
    Driver and toolkit are the machines' own: their scripts check and set them up. The operator makes the RuntimeClass.
    Its own CDI mode expects the toolkit that it installs itself, so pods name the runtime class.
    """
    kubernetes.helm.v3.Release(
        "gpu-operator",
        name="gpu-operator",
        namespace=OPERATOR_NAMESPACE,
        create_namespace=True,
        chart="gpu-operator",
        version=OPERATOR_VERSION,
        repository_opts={"repo": OPERATOR_REPOSITORY},
        values={
            "driver": {"enabled": False},
            "toolkit": {"enabled": False},
            "cdi": {"enabled": False},
            "operator": {"runtimeClass": RUNTIME_CLASS},
        },
        skip_await=True,
        opts=child,
    )


def _device_plugin(images: Images, child: pulumi.ResourceOptions) -> None:
    runtime = kube.RuntimeClass(
        "gpu-runtime-class",
        metadata={"name": RUNTIME_CLASS},
        handler=RUNTIME_CLASS,
        # Other nodes' containerd does not know the handler.
        scheduling={"nodeSelector": {SOFTWARE_LABEL: "device-plugin"}},
        opts=child,
    )
    labels = {"app": NAME}
    kube.DaemonSet(
        "gpu-device-plugin",
        metadata={
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": labels,
            "annotations": {"pulumi.com/skipAwait": "true"},
        },
        spec={
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": AT_ONCE}},
            "template": {"metadata": {"labels": labels}, "spec": _pod(images)},
        },
        opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[runtime])),
    )


def _pod(images: Images) -> dict[str, Any]:
    here = {"key": SOFTWARE_LABEL, "operator": "In", "values": ["device-plugin"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [here]}]}
    return {
        "priorityClassName": "system-node-critical",
        "automountServiceAccountToken": False,
        # Its container sees the driver by the toolkit's runtime; other pods get their GPUs by CDI and need no class.
        "runtimeClassName": RUNTIME_CLASS,
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
        # The affinity says where it runs; GPU nodes may have any taint: ours, and that of machines outside a cloud.
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": NAME,
                "image": images.device_plugin,
                "imagePullPolicy": "IfNotPresent",
                "env": [{"name": name, "value": value} for name, value in _SETTINGS.items()],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
                "volumeMounts": [
                    {"name": "device-plugins", "mountPath": "/var/lib/kubelet/device-plugins"},
                    {"name": "cdi", "mountPath": "/var/run/cdi"},
                    {"name": "driver-root", "mountPath": "/driver-root", "readOnly": True},
                ],
            }
        ],
        "volumes": [
            _directory("device-plugins", "/var/lib/kubelet/device-plugins", "Directory"),
            _directory("cdi", "/var/run/cdi", "DirectoryOrCreate"),
            # Where it looks for the driver's files that its CDI specification names.
            _directory("driver-root", "/", "Directory"),
        ],
    }


# https://github.com/NVIDIA/k8s-device-plugin: README, and the chart's DaemonSet. By cdi-cri the kubelet names devices
# to containerd, so their cgroups have them also after systemd has read its units anew.
_SETTINGS = {
    "DEVICE_LIST_STRATEGY": "cdi-cri",
    "FAIL_ON_INIT_ERROR": "true",
    "NVIDIA_CDI_HOOK_PATH": "/usr/bin/nvidia-cdi-hook",
    "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
    "NVIDIA_DRIVER_ROOT": "/",
    "NVIDIA_VISIBLE_DEVICES": "all",
}


def _directory(name: str, path: str, kind: str) -> dict[str, Any]:
    return {"name": name, "hostPath": {"path": path, "type": kind}}
