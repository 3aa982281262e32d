"""The lab's own package: what it asks of the lab's library, and what a refresh finds."""

from __future__ import annotations

from typing import Any

import pytest

from lab.plugins import lab as plugin
from lab.plugins.base import PluginError
from lab.specs import MachineInfo, MachineSpec, NetworkSpec, Rule
from tests.engine.bench import call

MACHINE = {
    "name": "gpu-a",
    "network": "gpu",
    "role": "gateway",
    "nodeIp": "10.1.0.10",
    "podCidr": "10.129.0.0/24",
}
INGRESS = [{"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}]


class Cloud:
    """Remembers instead of doing."""

    def __init__(self) -> None:
        self.networks: dict[str, NetworkSpec] = {}
        self.firewalls: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self.machines: dict[str, MachineInfo] = {}

    def create_network(self, spec: NetworkSpec) -> None:
        self.networks[spec.name] = spec

    def delete_network(self, name: str) -> None:
        raise RuntimeError(f"network {name}: machine gpu-a is still in it")

    def list_networks(self) -> list[NetworkSpec]:
        return list(self.networks.values())

    def set_firewall(self, network: str, target: str, ingress: list[Rule]) -> None:
        self.firewalls[network, target] = tuple(ingress)

    def read_firewall(self, network: str, target: str) -> tuple[Rule, ...] | None:
        return self.firewalls.get((network, target))

    def create_machine(self, spec: MachineSpec) -> MachineInfo:
        where = {"public_ip": "", "ssh_host": "198.51.100.10", "ssh_port": 2200, "host_key": "ssh-ed25519 A"}
        shown = spec.model_dump(include={"name", "network", "role", "node_ip"})
        self.machines[spec.name] = MachineInfo(**shown, **where)
        return self.machines[spec.name]

    def read_machine(self, name: str) -> MachineInfo | None:
        return self.machines.get(name)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    made = Cloud()
    monkeypatch.setattr(plugin, "_cloud", lambda: made)
    return made


def test_a_machine_says_how_to_reach_it(cloud: Cloud) -> None:
    made, outputs = plugin.Machine().create(call(), MACHINE)
    assert (made, outputs["sshHost"], outputs["sshPort"]) == ("gpu-a", "198.51.100.10", 2200)
    assert (outputs["publicIp"], outputs["hostKey"]) == ("", "ssh-ed25519 A")
    assert plugin.Machine().read(call(), "gpu-a", MACHINE, outputs) == (MACHINE, outputs)
    cloud.machines.clear()
    assert plugin.Machine().read(call(), "gpu-a", MACHINE, outputs) is None


def test_a_network_is_read_as_it_is(cloud: Cloud) -> None:
    inputs: dict[str, Any] = {"name": "gpu", "cidr": "10.1.0.0/24", "lan": "l2", "nat": None}
    assert plugin.Network().create(call(), inputs)[0] == "gpu"
    assert plugin.Network().read(call(), "gpu", inputs, inputs) == (inputs, inputs)
    cloud.networks.clear()
    assert plugin.Network().read(call(), "gpu", inputs, inputs) is None


def test_a_firewall_that_was_changed_by_hand_is_drift(cloud: Cloud) -> None:
    inputs = {"network": "gpu", "target": "gateways", "ingress": INGRESS}
    made, _ = plugin.Firewall().create(call(), inputs)
    assert plugin.Firewall().read(call(), made, inputs, inputs) == (inputs, inputs)
    cloud.set_firewall("gpu", "gateways", [])
    found = plugin.Firewall().read(call(), made, inputs, inputs)
    assert found is not None
    assert found[0]["ingress"] == []
    cloud.firewalls.clear()
    assert plugin.Firewall().read(call(), made, inputs, inputs) is None


def test_the_labs_own_words_reach_the_user(cloud: Cloud) -> None:
    with pytest.raises(PluginError, match=r"^network gpu: machine gpu-a is still in it$"):
        plugin.Network().delete(call(), "gpu", {}, {})
    with pytest.raises(PluginError, match="choose another one"):
        plugin.Network().create(call(), {"name": "inet", "cidr": "10.1.0.0/24", "lan": "l2"})
