"""Rules about addresses outside the cluster: where gateways are dialled, SSH answers and the control server is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from config.schema import HeadscaleConfig, LabProvider, MachineConfig, RegionConfig, StackConfig

# Addresses that nobody on the internet can send to (RFC 1918, RFC 6598, RFC 3927, RFC 1122).
PRIVATE = tuple(
    IPv4Network(cidr)
    for cidr in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "127.0.0.0/8",
    )
)
TAILNET = IPv4Network("100.64.0.0/10")
_WHY = 'or no_inbound: "why it works although nobody can dial in"'

Named = tuple[RegionConfig, MachineConfig]


def reach_problems(config: StackConfig) -> Iterator[str]:
    """Every problem of addresses that lie outside the cluster's own ranges, or ought to."""
    machines = [
        (region, machine)
        for region in config.regions
        if region.provider.kind == "ssh"
        for machine in region.machines
    ]
    yield from _natted(config)
    yield from _locked_out(config)
    for region, machine in machines:
        yield from (
            f"region {region.name}, machine {machine.name}: {line}"
            for line in _address(config, region, machine)
        )
    yield from _shared_logins(machines)
    yield from _shared_addresses(machines)
    yield from _control_server(config)


def _natted(config: StackConfig) -> Iterator[str]:
    for region in config.regions:
        hidden = isinstance(region.provider, LabProvider) and region.provider.nat
        if hidden and not region.no_inbound:
            yield (
                f"region {region.name}: provider.nat {hidden} hides its gateways, so no other region can dial them; "
                f"remove nat, {_WHY}"
            )


def _locked_out(config: StackConfig) -> Iterator[str]:
    """The lab's machines know the lab's own key; a machine made elsewhere knows the keys that it was made with."""
    made = [r.name for r in config.regions if r.provider.creates and r.provider.kind != "lab"]
    if made and not config.access.ssh.authorized_keys:
        yield (
            f"access.ssh: authorized_keys is empty, so nobody could log in to the machines that are made in "
            f"{', '.join(made)}; write the public keys of your SSH agent, as `ssh-add -L` prints them"
        )


def _address(config: StackConfig, region: RegionConfig, machine: MachineConfig) -> Iterator[str]:
    address = _ip(machine.address)
    if address is None:
        yield from _no_address(config, machine)
        return
    device = machine.gateway or region.mode == "per-node"
    role = "a gateway" if machine.gateway else "a device of the tailnet (mode: per-node)"
    if address in TAILNET:
        yield (
            f"address {address} is one of a tailnet or of a carrier's NAT; write the one that the machine "
            "has without Tailscale"
        )
    elif device and not region.no_inbound and any(address in private for private in PRIVATE):
        yield (
            f"is {role} at {address}, a private address that other regions cannot dial; "
            f"write address: its public one, {_WHY}"
        )
    kubernetes = config.kubernetes
    supernets = {"node_supernet": kubernetes.node_supernet, "pod_supernet": kubernetes.pod_supernet}
    if device and not any(address in private for private in PRIVATE):
        for field, cidr in supernets.items():
            if address in cidr:
                yield (
                    f"is {role} at {address}, which lies in kubernetes.{field} {cidr}: the tunnel's own packets "
                    f"would be routed into the tunnel; write a private {field}, for example "
                    f"{'10.0.0.0/9' if field == 'node_supernet' else '10.128.0.0/9'}"
                )


def _no_address(config: StackConfig, machine: MachineConfig) -> Iterator[str]:
    if machine.control_plane and machine.address is None and config.access.api == "public":
        yield (
            "runs a public API server (access.api), but has no address; write address: its public one, "
            "or api: tailnet"
        )


def _shared_logins(machines: list[Named]) -> Iterator[str]:
    users: dict[tuple[str, int, str | None], list[str]] = defaultdict(list)
    for _, machine in machines:
        if machine.address is not None:
            users[machine.address, machine.port, machine.jump].append(machine.name)
    for (address, port, _), names in users.items():
        if len(names) > 1:
            yield (
                f"machine {names[-1]}: SSH at {address} port {port} is also that of {', '.join(names[:-1])}, so one "
                "machine would be set up twice; write each one's own address, its forwarded port, or jump:"
            )


def _shared_addresses(machines: list[Named]) -> Iterator[str]:
    """Behind one address only one machine gets what arrives at UDP 41641."""
    devices: dict[str, list[str]] = defaultdict(list)
    ports: dict[str, set[int]] = defaultdict(set)
    for region, machine in machines:
        device = machine.gateway or region.mode == "per-node"
        if device and machine.address and not machine.jump and not region.no_inbound:
            devices[machine.address].append(machine.name)
            ports[machine.address].add(machine.port)
    for address, names in devices.items():
        # On one port it is one machine twice, which has a line of its own.
        if len(names) > 1 and len(ports[address]) > 1:
            yield (
                f"machine {names[-1]}: is a device of the tailnet at {address}, and so is {', '.join(names[:-1])}: "
                "behind one address only one of them gets what arrives at UDP 41641; write an address of its own, or "
                "make only one of them a gateway"
            )


def _control_server(config: StackConfig) -> Iterator[str]:
    if not isinstance(config.tailnet, HeadscaleConfig):
        return
    host = config.tailnet.url.removeprefix("https://").split(":")[0]
    address = _ip(host)
    if address is None:
        return
    kubernetes = config.kubernetes
    inside = {
        "kubernetes.node_supernet": kubernetes.node_supernet,
        "kubernetes.pod_supernet": kubernetes.pod_supernet,
        "kubernetes.service_cidr": kubernetes.service_cidr,
        "the tailnet's addresses": TAILNET,
    }
    for name, cidr in inside.items():
        if address in cidr:
            yield (
                f"tailnet: url {config.tailnet.url} lies in {name} ({cidr}), which gateways reach only after they "
                "have talked to it; write an address or a name outside the cluster"
            )
            return


def _ip(text: str | None) -> IPv4Address | None:
    try:
        return IPv4Address(text or "")
    except AddressValueError:
        return None
