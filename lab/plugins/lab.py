"""The `lab` package: networks, firewalls and machines of the cloud on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

from lab.plugins.base import Call, Package, PluginError, Properties, Resource
from lab.plugins.rehearsal import REHEARSED_HOST_KEY
from lab.plugins.schema import Kind, ListOf, MapOf, OneOf, Record

RULE = Record({"protocol!": OneOf(("tcp", "udp", "icmp")), "port": "integer", "source!": "string"})
NETWORK: dict[str, Kind] = {
    "name!": "string", "cidr!": "string", "lan!": OneOf(("l2", "routed")), "nat": OneOf(("easy", "hard")),
}  # fmt: skip
MACHINE: dict[str, Kind] = {
    "name!": "string",
    "network!": "string",
    "role!": OneOf(("control-plane", "gateway", "worker")),
    "nodeIp!": "string",
    "podCidr": "string",
    "public": "boolean",
    "generation": "integer",
}
GROUP: dict[str, Kind] = {
    "name!": "string",
    "network!": "string",
    "role!": OneOf(("worker",)),
    "machines!": MapOf(Record({"nodeIp!": "string", "podCidr": "string"})),
}

# Machines of a group that boot side by side: booting is mostly work for the processors.
TOGETHER = 8


def _cloud() -> Any:
    # Loaded on first use: a preview needs the lab's types, not the lab.
    from lab import cloud

    return cloud


@contextmanager
def _lab_errors() -> Iterator[None]:
    """The lab's own errors name object, cause and remedy already."""
    try:
        yield
    except PluginError:
        raise
    except (RuntimeError, ValueError, OSError) as problem:
        raise PluginError(str(problem)) from problem


class Network(Resource):
    schema = Record(NETWORK)
    replace_on = frozenset({"name", "cidr", "lan"})
    # Two networks of one name, or of one range, cannot exist side by side.
    delete_before_replace = True

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        with _lab_errors():
            from lab.specs import NetworkSpec

            _cloud().create_network(NetworkSpec(**inputs))
        return inputs["name"], inputs

    def read(
        self, call: Call, resource_id: str, inputs: Properties, outputs: Properties
    ) -> tuple[Properties, Properties] | None:
        with _lab_errors():
            spec = next((spec for spec in _cloud().list_networks() if spec.name == resource_id), None)
        if spec is None:
            return None
        found = {"name": spec.name, "cidr": str(spec.cidr), "lan": spec.lan, "nat": spec.nat}
        return found, found

    def update(self, call: Call, resource_id: str, inputs: Properties, old_outputs: Properties) -> Properties:
        return self.create(call, inputs)[1]

    def delete(self, call: Call, resource_id: str, inputs: Properties, outputs: Properties) -> None:
        with _lab_errors():
            _cloud().delete_network(resource_id)


class Firewall(Resource):
    schema = Record(
        {
            "network!": "string",
            "target!": OneOf(("gateways", "control-plane", "workers", "all")),
            "ingress!": ListOf(RULE),
        }
    )
    replace_on = frozenset({"network", "target"})
    delete_before_replace = True

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        with _lab_errors():
            from lab.specs import Rule

            rules = [Rule(**rule) for rule in inputs["ingress"]]
            _cloud().set_firewall(inputs["network"], inputs["target"], rules)
        return f"{inputs['network']}/{inputs['target']}", inputs

    def read(
        self, call: Call, resource_id: str, inputs: Properties, outputs: Properties
    ) -> tuple[Properties, Properties] | None:
        network, target = resource_id.split("/", 1)
        with _lab_errors():
            from lab.specs import Rule

            rules = _cloud().read_firewall(network, target)
            if rules is None:
                return None
            known = inputs.get("ingress") or []
            if tuple(rules) != tuple(Rule(**rule) for rule in known):
                known = [rule.model_dump(mode="json", exclude_none=True) for rule in rules]
        found = {"network": network, "target": target, "ingress": known}
        return found, found

    def update(self, call: Call, resource_id: str, inputs: Properties, old_outputs: Properties) -> Properties:
        return self.create(call, inputs)[1]

    def delete(self, call: Call, resource_id: str, inputs: Properties, outputs: Properties) -> None:
        with _lab_errors():
            _cloud().delete_firewall(*resource_id.split("/", 1))


class Machine(Resource):
    schema = Record(MACHINE)
    replace_on = frozenset(name.rstrip("!") for name in MACHINE)
    # Its name, its address and its place on the LAN are taken until the old machine is gone.
    delete_before_replace = True
    computed = ("publicIp", "sshHost", "sshPort", "hostKey")

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        with _lab_errors():
            from lab.specs import MachineSpec

            spec = MachineSpec(
                name=inputs["name"],
                network=inputs["network"],
                role=inputs["role"],
                node_ip=inputs["nodeIp"],
                pod_cidr=inputs.get("podCidr"),
                public=inputs.get("public", False),
                generation=inputs.get("generation", 1),
            )
            info = _cloud().create_machine(spec)
        return info.name, {**inputs, **_outputs(info)}

    def rehearse(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        public_ip = inputs["nodeIp"] if inputs.get("public") else ""
        return inputs["name"], {**inputs, **_rehearsed(inputs["nodeIp"], public_ip)}

    def update(self, call: Call, resource_id: str, inputs: Properties, old_outputs: Properties) -> NoReturn:
        raise PluginError("a machine of the lab cannot change, only be replaced")

    def read(
        self, call: Call, resource_id: str, inputs: Properties, outputs: Properties
    ) -> tuple[Properties, Properties] | None:
        with _lab_errors():
            info = _cloud().read_machine(resource_id)
        return None if info is None else (inputs, {**inputs, **_outputs(info)})

    def delete(self, call: Call, resource_id: str, inputs: Properties, outputs: Properties) -> None:
        with _lab_errors():
            _cloud().delete_machine(resource_id)


class MachineGroup(Resource):
    """
    Machines by name. One that does not come up does not take the others with it: its host says what is wrong, and
    every update tries it again.
    """

    schema = Record(GROUP)
    replace_on = frozenset({"name", "network", "role"})
    delete_before_replace = True
    computed = ("hosts",)

    def unfinished(self, outputs: Properties) -> set[str]:
        hosts = outputs.get("hosts") or {}
        return {f'machines["{name}"]' for name, host in hosts.items() if "trouble" in host}

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        return inputs["name"], self._with_hosts(call, inputs, {})

    def _with_hosts(self, call: Call, inputs: Properties, known: Properties) -> Properties:
        """All machines there; those that are known are left as they are, also if somebody switched one off."""
        missing = [name for name in inputs["machines"] if name not in known]
        with ThreadPoolExecutor(TOGETHER) as workers:
            made = dict(zip(missing, workers.map(partial(self._make, call, inputs), missing), strict=True))
        return {**inputs, "hosts": {name: known.get(name) or made[name] for name in inputs["machines"]}}

    def rehearse(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        hosts = {name: _rehearsed(spec["nodeIp"]) for name, spec in inputs["machines"].items()}
        return inputs["name"], {**inputs, "hosts": hosts}

    def _make(self, call: Call, inputs: Properties, name: str) -> Properties:
        try:
            with _lab_errors():
                from lab.specs import MachineSpec

                spec, where = inputs["machines"][name], {key: inputs[key] for key in ("network", "role")}
                info = _cloud().create_machine(
                    MachineSpec(name=name, node_ip=spec["nodeIp"], pod_cidr=spec.get("podCidr"), **where)
                )
        except PluginError as problem:
            call.log(f"machine {name}: {problem}", warning=True)
            return {"trouble": str(problem)}
        return _outputs(info)

    def update(self, call: Call, resource_id: str, inputs: Properties, old_outputs: Properties) -> Properties:
        old, new = old_outputs["machines"], inputs["machines"]
        gone = [name for name in old if new.get(name) != old[name]]
        self._remove(gone)
        hosts = old_outputs.get("hosts") or {}
        known = {name: host for name, host in hosts.items() if name not in gone and "trouble" not in host}
        return self._with_hosts(call, inputs, known)

    def read(
        self, call: Call, resource_id: str, inputs: Properties, outputs: Properties
    ) -> tuple[Properties, Properties] | None:
        with _lab_errors():
            found = {name: _cloud().read_machine(name) for name in inputs["machines"]}
        hosts = {name: _outputs(info) for name, info in found.items() if info}
        # A machine that is gone is missing in the inputs, too: the next update makes it.
        inputs = {**inputs, "machines": {name: inputs["machines"][name] for name in hosts}}
        return (inputs, {**inputs, "hosts": hosts}) if hosts else None

    def delete(self, call: Call, resource_id: str, inputs: Properties, outputs: Properties) -> None:
        self._remove(list(inputs["machines"]))

    def _remove(self, names: list[str]) -> None:
        with _lab_errors(), ThreadPoolExecutor(TOGETHER) as workers:
            list(workers.map(_cloud().delete_machine, names))


def _rehearsed(node_ip: str, public_ip: str = "") -> Properties:
    """Reached at its node IP by the SSH port: no address that could be somebody's."""
    return {"publicIp": public_ip, "sshHost": node_ip, "sshPort": 22, "hostKey": REHEARSED_HOST_KEY}


def _outputs(info: Any) -> Properties:
    return {
        "publicIp": info.public_ip or "",
        "sshHost": info.ssh_host,
        "sshPort": info.ssh_port,
        "hostKey": info.host_key,
    }


package = Package(
    name="lab",
    resources={
        "lab:index:Network": Network(),
        "lab:index:Firewall": Firewall(),
        "lab:index:Machine": Machine(),
        "lab:index:MachineGroup": MachineGroup(),
    },
)
