"""The lab's API: networks, firewalls and machines, for its Pulumi plugin, its command line and tests.

Calls may come from several threads and processes at once: the records are locked, a machine's boot is not.
Each call finishes what an interrupted one began.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from lab import addresses, headscale, lxc, machines, net, operator_agent, preflight, records, teardown
from lab.records import MachineRecord, NetworkRecord, Records
from lab.shell import LabError, run
from lab.specs import BaseInfo, MachineInfo, MachineSpec, NetworkSpec, Rule, Target
from tools import paths

__all__ = ["BaseInfo", "LabError", "MachineInfo", "MachineSpec", "NetworkSpec", "Rule", "down"]

# The kernel's default of 128 is per user for all machines together; six of them hold about 120.
_INOTIFY_INSTANCES = 1024


def ensure_base() -> BaseInfo:
    """The internet with the operator, the control server and the operator's SSH agent; made unless there."""
    with records.locked():
        kept = records.read()
        if not net.internet_is_up():
            preflight.check(kept)
            paths.lab_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
            records.write(kept)
            net.create_internet()
        _raise_inotify_limit(kept)
        public_key = operator_agent.ensure()
        api_key = headscale.ensure()
    return BaseInfo(
        operator_ip=str(addresses.OPERATOR),
        headscale_url=headscale.URL,
        headscale_ca_pem=headscale.ca_pem(),
        headscale_user=headscale.USER,
        api_key=api_key,
        ssh_agent_socket=operator_agent.socket(),
        ssh_public_key=public_key,
    )


def _raise_inotify_limit(kept: Records) -> None:
    before = teardown.inotify_instances()
    if before < _INOTIFY_INSTANCES:
        kept.inotify_instances_before = before
        # Remembered before it is changed, or a crash in between would lose the host's value.
        records.write(kept)
        teardown.set_inotify_instances(_INOTIFY_INSTANCES)


def create_network(spec: NetworkSpec) -> None:
    """Makes the network; of one that exists only the NAT can change."""
    with records.locked():
        kept = records.read()
        _require_base()
        network = kept.networks.setdefault(
            spec.name, NetworkRecord(spec=spec, public_ip=kept.hand_out_public_ip())
        )
        if network.spec.model_copy(update={"nat": spec.nat}) != spec:
            raise LabError(f"network {spec.name}: exists as {_shown(network.spec)}: delete it first")
        network.spec = spec
        records.write(kept)
        if not (network.ready and net.namespace_exists(addresses.namespace(spec.name))):
            net.create_router(network)
        net.apply(kept, spec.name)
        network.ready = True
        records.write(kept)


def delete_network(name: str) -> None:
    with records.edit() as kept:
        network = kept.networks.get(name)
        if not network:
            return
        if left := [m.spec.name for m in kept.machines_of(name)]:
            raise LabError(f"network {name}: still has the machines {', '.join(left)}: delete them first")
        net.delete_router(network)
        del kept.networks[name]


def list_networks() -> list[NetworkSpec]:
    return [network.spec for _, network in sorted(records.read().networks.items())]


def set_firewall(network: str, target: Target, ingress: Sequence[Rule]) -> None:
    """Replaces what is open to those machines, running ones included; connections that exist go on."""
    with records.edit() as kept:
        kept.network(network).firewalls[target] = tuple(ingress)
        net.apply(kept, network)


def read_firewall(network: str, target: Target) -> tuple[Rule, ...] | None:
    kept = records.read().networks.get(network)
    return kept.firewalls.get(target) if kept else None


def delete_firewall(network: str, target: Target) -> None:
    with records.edit() as kept:
        if network in kept.networks and kept.networks[network].firewalls.pop(target, None) is not None:
            net.apply(kept, network)


def create_machine(spec: MachineSpec) -> MachineInfo:
    """Returns when SSH answers with the machine's own host key."""
    with records.edit() as kept:
        machine = _declare(kept, spec)
        network = kept.network(spec.network)
        net.apply(kept, spec.network)
    host_key = machines.prepare(machine, network, operator_agent.public_key())
    machines.boot(machine, network, host_key)
    with records.edit() as kept:
        machine = kept.machine(spec.name)
        machine.host_key = host_key
        machine.powered = True
    return machine.info()


def _declare(kept: Records, spec: MachineSpec) -> MachineRecord:
    existing = kept.machines.get(spec.name)
    if existing and existing.spec != spec:
        raise LabError(f"machine {spec.name}: exists as {_shown(existing.spec)}: delete it first")
    if existing:
        return existing
    network = kept.network(spec.network)
    _check_addresses(kept, spec, network.spec)
    public_ip = kept.hand_out_public_ip() if spec.public else None
    machine = MachineRecord(
        spec=spec,
        public_ip=public_ip,
        ssh_host=public_ip or network.public_ip,
        ssh_port=22 if public_ip else kept.free_ssh_port(spec.network),
    )
    kept.machines[spec.name] = machine
    return machine


def _check_addresses(kept: Records, spec: MachineSpec, network: NetworkSpec) -> None:
    cidr, ip = network.cidr, spec.node_ip
    if ip not in cidr or ip in (cidr[0], cidr[-1], addresses.router_address(cidr)):
        raise LabError(
            f"machine {spec.name}: {ip} is not a machine's address in {cidr}: use {cidr[2]} to {cidr[-2]}"
        )
    for other in kept.machines_of(spec.network):
        if other.spec.node_ip == ip:
            raise LabError(
                f"machine {spec.name}: {ip} is the address of machine {other.spec.name}: use another one"
            )
        if spec.pod_cidr and other.spec.pod_cidr and spec.pod_cidr.overlaps(other.spec.pod_cidr):
            raise LabError(
                f"machine {spec.name}: {spec.pod_cidr} overlaps {other.spec.pod_cidr} of {other.spec.name}"
            )


def read_machine(name: str) -> MachineInfo | None:
    """None as well for a machine that has never answered: creating it again finishes it."""
    machine = records.read().machines.get(name)
    return machine.info() if machine and machine.host_key else None


def list_machines() -> list[MachineInfo]:
    return [machine.info() for _, machine in sorted(records.read().machines.items())]


def delete_machine(name: str) -> None:
    machine = records.read().machines.get(name)
    if not machine:
        return
    machines.remove(machine)
    with records.edit() as kept:
        kept.machines.pop(name, None)
        if machine.spec.network in kept.networks:
            net.apply(kept, machine.spec.network)


def run_in(
    machine: str, argv: Sequence[str], *, timeout: float = 60, check: bool = True, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program in a machine without SSH or network: the console of a cloud."""
    network = records.read().machine(machine).spec.network
    return run(lxc.attach(network, machine, argv), stdin=stdin, timeout=timeout, check=check)


def reboot(machine: str) -> None:
    record, network = _on_record(machine)
    machines.reboot(record, network)


def power_off(machine: str) -> None:
    """A power cut: nobody gets a last packet."""
    record, _ = _on_record(machine)
    machines.power_off(record)
    with records.edit() as kept:
        kept.machine(machine).powered = False


def power_on(machine: str) -> None:
    record, network = _on_record(machine)
    machines.boot(record, network, record.host_key)
    with records.edit() as kept:
        kept.machine(machine).powered = True


def _on_record(machine: str) -> tuple[MachineRecord, NetworkRecord]:
    kept = records.read()
    record = kept.machine(machine)
    if not record.host_key:
        raise LabError(f"machine {machine}: was never finished: create it again, or run `make down`")
    return record, kept.network(record.spec.network)


def _shown(spec: NetworkSpec | MachineSpec) -> str:
    return ", ".join(f"{key} {value}" for key, value in spec.model_dump(mode="json").items())


def _require_base() -> None:
    if not net.internet_is_up():
        raise LabError("the lab is not up: run `make up`, or call ensure_base() first")


def down() -> None:
    """Everything of the lab away; works in every state, also when there is nothing."""
    teardown.down()
