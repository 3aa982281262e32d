"""What offers GPUs to pods: only where GPUs are, never awaited, and nothing of it in the lab."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bootstrap.gpu import SOFTWARE_LABEL, TAINT
from bootstrap.images import DEVICE_PLUGIN
from config.schema import StackConfig
from policy.rules import RULES
from tests.components.deploy import deployed
from tests.components.judged import resources_of
from tests.components.recording import Recording
from tests.components.stacks import dev, elsewhere
from tests.policy.judge import judge

OPEN = [{"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}]
GPU = {"type": "H100", "count": 8, "usd_per_hour": 1.9}
PLUGIN, RUNTIME, OPERATOR = "gpu-device-plugin", "gpu-runtime-class", "gpu-operator"


def rented(**changes: Any) -> StackConfig:
    """Machines that exist already, the second of the GPU region with eight GPUs."""
    settings = [(f"regions.1.{key}", value) for key, value in changes.items()]
    openings = [(f"regions.{number}.gateway_firewall", OPEN) for number in (0, 1)]
    return elsewhere(*openings, ("regions.1.machines.1.gpu", GPU), *settings)


def software(recording: Recording) -> set[str]:
    return {
        name
        for name in recording.resources
        if name.startswith("gpu-") and name in (PLUGIN, RUNTIME, OPERATOR)
    }


def declared(recording: Recording, node: str) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(recording[f"{node}-join"].secret("stdin"))["node"]
    return request


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (dev(), set()),
        (elsewhere(), set()),
        (rented(), {PLUGIN, RUNTIME}),
        (rented(gpu_software="device-plugin"), {PLUGIN, RUNTIME}),
        (rented(gpu_software="operator"), {OPERATOR}),
        (rented(gpu_software="none"), set()),
    ],
    ids=["the lab", "no GPUs", "nothing written", "device-plugin", "operator", "none"],
)
def test_there_is_exactly_the_software_that_the_stack_wants(config: StackConfig, found: set[str]) -> None:
    for preview in (True, False):
        assert software(deployed(config, preview=preview)) == found


@pytest.mark.parametrize("choice", ["device-plugin", "operator", "none"])
@pytest.mark.parametrize("preview", [True, False], ids=["first preview", "later"])
def test_it_passes_every_rule(choice: str, preview: bool) -> None:
    resources = resources_of(deployed(rented(gpu_software=choice, gpu_taint=True), preview=preview))
    said = {rule.name: judge(rule, *resources) for rule in RULES}
    assert {rule: messages for rule, messages in said.items() if messages} == {}


def test_no_update_waits_for_a_dead_machines_plugin() -> None:
    plugin = deployed(rented())[PLUGIN]
    assert plugin.inputs["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert deployed(rented(gpu_software="operator"))[OPERATOR].inputs["skipAwait"] is True


def test_its_pods_land_on_gpu_nodes_only_and_the_operator_says_which_those_are() -> None:
    recording = deployed(rented(gpu_taint=True))
    spec = recording[PLUGIN].inputs["spec"]["template"]["spec"]
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchExpressions"] == [
        {"key": SOFTWARE_LABEL, "operator": "In", "values": ["device-plugin"]}
    ]
    # No kubelet can put such a label on its own node.
    assert SOFTWARE_LABEL.startswith("node-restriction.kubernetes.io/")
    assert declared(recording, "tx-b")["labels"][SOFTWARE_LABEL] == "device-plugin"
    for other in ("tx-a", "hub-cp", "hub-gw"):
        assert SOFTWARE_LABEL not in declared(recording, other)["labels"]
    assert recording[RUNTIME].inputs["scheduling"]["nodeSelector"] == {SOFTWARE_LABEL: "device-plugin"}


def test_its_pods_tolerate_the_taint_and_hold_nothing_that_they_do_not_need() -> None:
    spec = deployed(rented())[PLUGIN].inputs["spec"]["template"]["spec"]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["automountServiceAccountToken"] is False
    (container,) = spec["containers"]
    assert container["image"] == DEVICE_PLUGIN
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounts["/driver-root"] is True
    assert "runtimeClassName" in spec


def test_the_taint_is_on_gpu_nodes_only_and_only_if_wanted() -> None:
    assert declared(deployed(rented()), "tx-b")["taints"] == []
    tainted = deployed(rented(gpu_taint=True))
    assert declared(tainted, "tx-b")["taints"] == [TAINT]
    assert declared(tainted, "tx-a")["taints"] == []


def test_driver_and_toolkit_are_the_machines_own_also_with_the_operator() -> None:
    values = deployed(rented(gpu_software="operator"))[OPERATOR].inputs["values"]
    assert values["driver"] == {"enabled": False}
    assert values["toolkit"] == {"enabled": False}


def test_images_come_from_the_mirror_too() -> None:
    config = elsewhere(("regions.1.machines.1.gpu", GPU), ("images.mirror", "registry.example.com/mirror"))
    (container,) = deployed(config)[PLUGIN].inputs["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("registry.example.com/mirror/nvidia/k8s-device-plugin:v")
