"""Networks in the kernel: namespaces, bridges, links, addresses, routes. Commands come from pure functions.

The host's own namespace gets one link and one address; forwarding, NAT and firewalls are in the lab's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from lab import addresses, firewall
from lab.records import NetworkRecord, Records
from lab.shell import NAMESPACES, LabError, inside, ip_batch, run
from tools import paths

# Otherwise a bridge takes the lowest address of its ports, and its neighbours lose it whenever a machine comes or goes.
BRIDGE_MAC = "02:54:62:72:00:01"
# In a router. Redirects would teach machines other routes; bridged frames must not meet the forward chain.
_ROUTER_SYSCTLS: Mapping[str, int] = {
    "net.ipv4.ip_forward": 1,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.default.send_redirects": 0,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv6.conf.all.disable_ipv6": 1,
    "net.ipv6.conf.default.disable_ipv6": 1,
    "net.bridge.bridge-nf-call-iptables": 0,
}
_INTERNET_SYSCTLS: Mapping[str, int] = {**_ROUTER_SYSCTLS, "net.ipv4.ip_forward": 0}


def mark() -> str:
    """What the loopback of each of our namespaces is labelled with: without it, it is not this lab's."""
    return f"tailspan-lab {paths.lab_dir()}"[:255]


def internet_commands() -> list[str]:
    bridge = addresses.INTERNET_BRIDGE
    return [
        "link set lo up",
        f"link add {bridge} address {BRIDGE_MAC} type bridge",
        f"addr add {addresses.HEADSCALE}/{addresses.PUBLIC.prefixlen} dev {bridge}",
        f"link set {bridge} up",
    ]


def operator_commands() -> list[str]:
    link = addresses.OPERATOR_LINK
    return [
        f"link add {link} type veth peer name op netns {addresses.INTERNET}",
        f"link set {link} addrgenmode none",
        f"addr add {addresses.OPERATOR}/{addresses.PUBLIC.prefixlen} dev {link}",
        f"link set {link} up",
    ]


def router_commands(network: NetworkRecord) -> list[str]:
    spec, up, lan = network.spec, addresses.UPLINK, addresses.LAN_BRIDGE
    gateway = addresses.router_address(spec.cidr)
    port = addresses.internet_port(network.public_ip)
    commands = [
        "link set lo up",
        f"link add {up} type veth peer name {port} netns {addresses.INTERNET}",
        f"addr add {network.public_ip}/{addresses.PUBLIC.prefixlen} dev {up}",
        f"link set {up} up",
        # What is neither in the network nor on the internet vanishes, as in a cloud.
        "route add blackhole default",
    ]
    if spec.lan == "l2":
        return [
            *commands,
            f"link add {lan} address {BRIDGE_MAC} type bridge",
            f"addr add {gateway}/{spec.cidr.prefixlen} dev {lan}",
            f"link set {lan} up",
        ]
    return [*commands, f"addr add {gateway}/32 dev lo"]


def create_internet() -> None:
    _create_namespace(addresses.INTERNET, _INTERNET_SYSCTLS)
    ip_batch(internet_commands(), addresses.INTERNET)
    ip_batch(operator_commands())
    ip_batch([f"link set op master {addresses.INTERNET_BRIDGE} up"], addresses.INTERNET)


def internet_is_up() -> bool:
    return owned(addresses.INTERNET) and link_exists(addresses.OPERATOR_LINK)


def create_router(network: NetworkRecord) -> None:
    name = addresses.namespace(network.spec.name)
    _create_namespace(name, _ROUTER_SYSCTLS)
    ip_batch(router_commands(network), name)
    port = addresses.internet_port(network.public_ip)
    ip_batch([f"link set {port} master {addresses.INTERNET_BRIDGE} up"], addresses.INTERNET)


def delete_router(network: NetworkRecord) -> None:
    # The link first: the kernel removes a namespace's devices some time after the namespace.
    delete_link(addresses.internet_port(network.public_ip), addresses.INTERNET)
    delete_namespace(addresses.namespace(network.spec.name))


def apply(records: Records, network: str) -> None:
    """Makes public addresses, NAT and firewall what the records say. Call it with the records locked."""
    record, machines = records.network(network), records.machines_of(network)
    name = addresses.namespace(network)
    wanted = {str(m.public_ip) for m in machines if m.public_ip}
    present = _public_addresses(name) - {str(record.public_ip)}
    ip_batch(
        [f"addr del {ip}/32 dev {addresses.UPLINK}" for ip in sorted(present - wanted)]
        + [f"addr add {ip}/32 dev {addresses.UPLINK}" for ip in sorted(wanted - present)],
        name,
    )
    run([*inside(name), "nft", "-f", "-"], stdin=firewall.ruleset(record, machines))


def _public_addresses(namespace: str) -> set[str]:
    shown = run(["ip", "-n", namespace, "-4", "-j", "addr", "show", "dev", addresses.UPLINK]).stdout
    return {address["local"] for link in json.loads(shown) for address in link["addr_info"]}


def machine_link_down(network: str, node_ip: IPv4Address) -> None:
    """Cuts a machine off, so that a power cut sends no last packets; nothing happens if it is off already."""
    run(
        ["ip", "-n", addresses.namespace(network), "link", "set", addresses.machine_port(node_ip), "down"],
        check=False,
    )


def _create_namespace(name: str, sysctls: Mapping[str, int]) -> None:
    if namespace_exists(name):
        if not owned(name):
            raise LabError(foreign(name))
        delete_namespace(name)
    run(["ip", "netns", "add", name])
    run(["ip", "-n", name, "link", "set", "lo", "alias", mark()])
    run([*inside(name), "sysctl", "-q", "-w", *(f"{key}={value}" for key, value in sysctls.items())])


def foreign(name: str) -> str:
    return (
        f"network namespace {name} exists and is not this lab's ({paths.lab_dir()}): "
        f"remove it with `ip netns del {name}`, or run `make down` where it was made"
    )


def delete_namespace(name: str) -> None:
    run(["ip", "netns", "del", name], check=False)
    with suppress(OSError):
        (NAMESPACES / name).unlink()


def delete_link(name: str, namespace: str | None = None) -> None:
    where = ["-n", namespace] if namespace else []
    run(["ip", *where, "link", "del", name], check=False)


def namespace_exists(name: str) -> bool:
    return (NAMESPACES / name).exists()


def namespaces() -> list[str]:
    """Every namespace with our prefix, whoever made it."""
    return sorted(path.name for path in Path(NAMESPACES).glob(f"{addresses.PREFIX}*"))


def owned(name: str) -> bool:
    shown = run(["ip", "-n", name, "-j", "link", "show", "lo"], check=False)
    links: list[dict[str, Any]] = json.loads(shown.stdout or "[]")
    return shown.returncode == 0 and any(link.get("ifalias") == mark() for link in links)


def link_exists(name: str) -> bool:
    return Path("/sys/class/net", name).exists()
