"""The lab's machine groups: what each change does, what a machine that fails does to the others, what is mended."""

from __future__ import annotations

from threading import Lock
from typing import Any

import pytest

from lab.engine_recovery import half_made_machines
from lab.plugins import lab as plugin
from lab.specs import MachineInfo, MachineSpec
from tests.engine.bench import Plugin, call, urn

KIND = "lab:index:MachineGroup"


class Cloud:
    """Remembers what it was asked to do; some machines never come up."""

    def __init__(self) -> None:
        self.machines: dict[str, MachineInfo] = {}
        self.asked: list[tuple[str, str]] = []
        self.dead: set[str] = set()
        self._lock = Lock()

    def create_machine(self, spec: MachineSpec) -> MachineInfo:
        with self._lock:
            self.asked.append(("create", spec.name))
            if spec.name in self.dead:
                raise RuntimeError(f"machine {spec.name}: no SSH within 60 s")
            where = {
                "public_ip": "",
                "ssh_host": "198.51.100.10",
                "ssh_port": 2200,
                "host_key": "ssh-ed25519 A",
            }
            shown = spec.model_dump(include={"name", "network", "role", "node_ip"})
            self.machines[spec.name] = MachineInfo(**shown, **where)
            return self.machines[spec.name]

    def read_machine(self, name: str) -> MachineInfo | None:
        return self.machines.get(name)

    def delete_machine(self, name: str) -> None:
        with self._lock:
            self.asked.append(("delete", name))
            self.machines.pop(name, None)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    made = Cloud()
    monkeypatch.setattr(plugin, "_cloud", lambda: made)
    return made


def inputs(*numbers: int, **changes: Any) -> dict[str, Any]:
    machines = {f"cpu-{n}": {"nodeIp": f"10.0.0.4{n}", "podCidr": f"10.128.4{n}.0/24"} for n in numbers}
    return {"name": "hub-cpu", "network": "hub", "role": "worker", "machines": machines} | changes


def test_a_group_says_how_to_reach_each_machine(cloud: Cloud) -> None:
    made, outputs = plugin.MachineGroup().create(call(), inputs(1, 2))
    assert made == "hub-cpu"
    assert outputs["hosts"].keys() == {"cpu-1", "cpu-2"}
    assert outputs["hosts"]["cpu-1"] == {
        "publicIp": "", "sshHost": "198.51.100.10", "sshPort": 2200, "hostKey": "ssh-ed25519 A"
    }  # fmt: skip


def test_a_machine_more_or_less_is_that_one_only(cloud: Cloud) -> None:
    _, before = plugin.MachineGroup().create(call(), inputs(1, 2))
    cloud.asked.clear()
    after = plugin.MachineGroup().update(call(), "hub-cpu", inputs(2, 3), before)
    assert cloud.asked == [("delete", "cpu-1"), ("create", "cpu-3")]
    assert after["hosts"].keys() == cloud.machines.keys() == {"cpu-2", "cpu-3"}


def test_another_spec_under_a_name_is_another_machine(cloud: Cloud) -> None:
    _, before = plugin.MachineGroup().create(call(), inputs(1, 2))
    changed = inputs(1, 2)
    changed["machines"]["cpu-2"] = {"nodeIp": "10.0.0.50", "podCidr": "10.128.50.0/24"}
    cloud.asked.clear()
    plugin.MachineGroup().update(call(), "hub-cpu", changed, before)
    assert ("delete", "cpu-2") in cloud.asked
    assert ("delete", "cpu-1") not in cloud.asked
    assert str(cloud.machines["cpu-2"].node_ip) == "10.0.0.50"


def test_a_machine_that_does_not_come_up_fails_nobody_else(cloud: Cloud) -> None:
    cloud.dead = {"cpu-2"}
    _, outputs = plugin.MachineGroup().create(call(), inputs(1, 2, 3))
    assert outputs["hosts"]["cpu-2"] == {"trouble": "machine cpu-2: no SSH within 60 s"}
    assert cloud.machines.keys() == {"cpu-1", "cpu-3"}


def diff(outputs: dict[str, Any], new: dict[str, Any]) -> Any:
    old = {key: value for key, value in outputs.items() if key != "hosts"}
    group = Plugin(plugin.package)
    return group.Diff(urn=urn(KIND), id="hub-cpu", olds=outputs, old_inputs=old, news=new)


def test_a_machine_that_did_not_come_up_is_tried_again_though_nothing_changed(cloud: Cloud) -> None:
    cloud.dead = {"cpu-2"}
    _, outputs = plugin.MachineGroup().create(call(), inputs(1, 2))
    found = diff(outputs, inputs(1, 2))
    assert (list(found.detailedDiff), list(found.replaces)) == (['machines["cpu-2"]'], [])
    cloud.dead.clear()
    mended = plugin.MachineGroup().update(call(), "hub-cpu", inputs(1, 2), outputs)
    assert not diff(mended, inputs(1, 2)).detailedDiff
    assert ("delete", "cpu-2") not in cloud.asked


def test_one_machine_more_shows_as_one_key_of_the_map(cloud: Cloud) -> None:
    _, outputs = plugin.MachineGroup().create(call(), inputs(1))
    assert list(diff(outputs, inputs(1, 2)).detailedDiff) == ['machines["cpu-2"]']


def test_another_network_is_another_group_and_the_old_one_goes_first(cloud: Cloud) -> None:
    _, outputs = plugin.MachineGroup().create(call(), inputs(1))
    found = diff(outputs, inputs(1, network="other"))
    assert (list(found.replaces), found.deleteBeforeReplace) == (["network"], True)


def test_a_machine_that_somebody_removed_is_missing_in_what_is_read(cloud: Cloud) -> None:
    _, outputs = plugin.MachineGroup().create(call(), inputs(1, 2))
    del cloud.machines["cpu-2"]
    found = plugin.MachineGroup().read(call(), "hub-cpu", inputs(1, 2), outputs)
    assert found is not None
    assert found[0] == inputs(1)
    assert found[1]["hosts"].keys() == {"cpu-1"}
    cloud.machines.clear()
    assert plugin.MachineGroup().read(call(), "hub-cpu", inputs(1, 2), outputs) is None


def test_a_group_that_goes_takes_all_its_machines(cloud: Cloud) -> None:
    _, outputs = plugin.MachineGroup().create(call(), inputs(1, 2))
    plugin.MachineGroup().delete(call(), "hub-cpu", inputs(1, 2), outputs)
    assert cloud.machines == {}


@pytest.mark.parametrize(
    ("doing", "known", "half_made"),
    [
        ("creating", None, ["cpu-1", "cpu-2"]),
        ("updating", inputs(1), ["cpu-2"]),
        ("updating", inputs(1, 2), []),
        ("deleting", inputs(1, 2), []),
    ],
)
def test_only_machines_that_an_interrupted_run_was_making_are_removed(
    doing: str, known: dict[str, Any] | None, half_made: list[str]
) -> None:
    # The others may be running nodes.
    operation = {"type": doing, "resource": {"type": KIND, "inputs": inputs(1, 2)}}
    assert half_made_machines(operation, {"inputs": known} if known else {}) == half_made


def test_a_single_machine_that_was_being_made_is_removed() -> None:
    resource = {"type": "lab:index:Machine", "inputs": {"name": "gpu-a"}}
    assert half_made_machines({"type": "creating", "resource": resource}, {}) == ["gpu-a"]
    assert half_made_machines({"type": "updating", "resource": resource}, {}) == []
