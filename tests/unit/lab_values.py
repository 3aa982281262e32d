"""Records of a small lab, for tests of what is rendered from them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from lab.records import MachineRecord, NetworkRecord, Records
from lab.specs import Lan, MachineSpec, Nat, NetworkSpec, Role, Rule, Target

OPERATOR_ONLY = IPv4Network("198.51.100.1/32")
EVERYBODY = IPv4Network("0.0.0.0/0")


def network(lan: Lan = "l2", nat: Nat | None = None) -> NetworkRecord:
    spec = NetworkSpec(name="hub", cidr=IPv4Network("10.0.0.0/24"), lan=lan, nat=nat)
    return NetworkRecord(spec=spec, public_ip=IPv4Address("198.51.100.10"), ready=True)


def machine(name: str, host: int, role: Role = "worker", public_ip: str | None = None) -> MachineRecord:
    spec = MachineSpec(
        name=name,
        network="hub",
        role=role,
        node_ip=IPv4Network("10.0.0.0/24")[host],
        pod_cidr=IPv4Network(f"10.128.{host}.0/24"),
        public=public_ip is not None,
    )
    own = IPv4Address(public_ip) if public_ip else None
    return MachineRecord(
        spec=spec, public_ip=own, ssh_host=own or IPv4Address("198.51.100.10"), ssh_port=22 if own else 2200
    )


def lab(**firewalls: tuple[Rule, ...]) -> Records:
    """A control plane and a gateway with public addresses, a worker without."""
    hub = network()
    targets: dict[str, Target] = {"gateways": "gateways", "all_": "all", "workers": "workers"}
    hub.firewalls = {targets[name]: rules for name, rules in firewalls.items()}
    machines = [
        machine("cp", 5, "control-plane", "198.51.100.11"),
        machine("gw", 20, "gateway", "198.51.100.12"),
        machine("w", 40),
    ]
    return Records(networks={"hub": hub}, machines={m.spec.name: m for m in machines})
