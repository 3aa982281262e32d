"""What can go wrong, done to a rig: each fault as a power cut, a kill, or a rule in a place that the victim cannot see.

`cure` undoes what is done with rules; what is dead is brought back by the rig.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from lab import addresses, net
from lab.rig import gateway, lan
from lab.rig.rig import Rig
from lab.shell import inside, run
from network.plan import NodePlan, RegionPlan

Fault = Callable[[Rig, NodePlan], None]
_TABLE = "rig_fault"
AGENT = "agent"


def power_off(rig: Rig, victim: NodePlan) -> None:
    """The link first, so that nothing that dies can say goodbye."""
    net.machine_link_down(victim.region, victim.node_ip)
    rig.machine(victim).end()


def kill_tailscaled(rig: Rig, victim: NodePlan) -> None:
    gateway.kill_tailscaled(rig.machine(victim))


def kill_pod(rig: Rig, victim: NodePlan) -> None:
    """Tailscale and the agent beside it, at once."""
    kill_agent(rig, victim)
    gateway.kill(rig.machine(victim))


def kill_agent(rig: Rig, victim: NodePlan) -> None:
    if rig.machine(victim).runs(AGENT):
        rig.machine(victim).signal(AGENT, signal.SIGKILL)


def lan_dead(rig: Rig, victim: NodePlan) -> None:
    """The machine reaches its router and the internet, but nobody on its LAN."""
    port, up = addresses.machine_port(victim.node_ip), addresses.UPLINK
    if rig.region(victim).reach == "lan":
        _forward(victim, "bridge", [f'iifname "{port}" drop', f'oifname "{port}" drop'])
    else:
        rules = [f'iifname "{port}" oifname != "{up}" drop', f'oifname "{port}" iifname != "{up}" drop']
        _forward(victim, "inet", rules)


def tailnet_dead(rig: Rig, victim: NodePlan) -> None:
    """The machine reaches its LAN, but nothing on the internet: not the control server, no gateway elsewhere."""
    ip, up = victim.node_ip, addresses.UPLINK
    _forward(victim, "inet", [f'oifname "{up}" ip saddr {ip} drop', f'iifname "{up}" ip daddr {ip} drop'])


def no_forwarding(rig: Rig, victim: NodePlan) -> None:
    rig.machine(victim).run("sysctl", "-qw", "net.ipv4.ip_forward=0")


def drop_rule(rig: Rig, victim: NodePlan) -> None:
    """What a careless administrator or another program puts in front of everybody's rules."""
    rig.machine(victim).run("iptables", "-w", "-I", "FORWARD", "-j", "DROP")


def strict_rp_filter(rig: Rig, victim: NodePlan) -> None:
    """It takes packets only from where it would answer to: not from the in-region tunnel, for one."""
    rig.machine(victim).sh("for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 >$file; done")


def strict_packet_filter(rig: Rig, victim: NodePlan) -> None:
    """The same as a rule, as firewalls have it (nft `fib`, iptables `rpfilter`): no setting that an agent mends."""
    rule = 'iifname != "lo" fib saddr . iif oif missing drop;'
    chain = f"chain prerouting {{ type filter hook prerouting priority raw; {rule} }}"
    _load(rig.machine(victim).argv(["nft", "-f", "-"]), "inet", chain)


def region_cut_off(rig: Rig, region: RegionPlan) -> None:
    port = addresses.internet_port(rig.records.network(region.name).public_ip)
    run(["ip", "-n", addresses.INTERNET, "link", "set", port, "down"])


def region_connected(rig: Rig, region: RegionPlan) -> None:
    port = addresses.internet_port(rig.records.network(region.name).public_ip)
    run(["ip", "-n", addresses.INTERNET, "link", "set", port, "up"])


def cut_from_each_other(rig: Rig, one: NodePlan, other: NodePlan) -> None:
    """Two gateways of a region that reach everybody except each other, neither over the LAN nor in the tailnet."""
    ports = [addresses.machine_port(node.node_ip) for node in (one, other)]
    family = "bridge" if rig.region(one).reach == "lan" else "inet"
    pairs = (ports, ports[::-1])
    _forward(one, family, [f'iifname "{first}" oifname "{second}" drop' for first, second in pairs])
    for here, there in ((one, other), (other, one)):
        peer = rig.tailnet_address(there)
        ruleset = f'chain input {{ type filter hook input priority -200; iifname "tailscale0" ip saddr {peer} drop; }}'
        _load(rig.machine(here).argv(["nft", "-f", "-"]), "inet", ruleset)


def cure(rig: Rig, victim: NodePlan) -> None:
    """Every fault in the victim's region away that is a rule or a setting; nothing happens where there is none."""
    for family in ("bridge", "inet"):
        run([*inside(lan.router_of(victim.region)), "nft", "-f", "-"], stdin=_emptied(family))
    for one in rig.gateways(victim.region):
        if rig.machine(one).is_on:
            rig.machine(one).run("nft", "-f", "-", stdin=_emptied("inet"))
            rig.machine(one).sh(_CURE)


# The devices' rp_filter was the kernel's default, which the product's own setting for all of them overrules.
_CURE = """
while iptables -w -D FORWARD -j DROP 2>/dev/null; do :; done
for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 2 >$file; done
sysctl -q -p /etc/sysctl.d/90-tailspan.conf
"""


def _forward(victim: NodePlan, family: str, rules: list[str]) -> None:
    """Rules on the router's forwarding path, in front of its firewall."""
    # The parser wants every rule ended, also the last one before a brace.
    body = "".join(f"{rule}; " for rule in rules)
    chain = f"chain forward {{ type filter hook forward priority -50; policy accept; {body}}}"
    _load([*inside(lan.router_of(victim.region)), "nft", "-f", "-"], family, chain)


def _load(nft: list[str], family: str, chain: str) -> None:
    run(nft, stdin=f"{_emptied(family)}table {family} {_TABLE} {{\n{chain}\n}}\n")


def _emptied(family: str) -> str:
    # Declared first, so that the deletion works when there is none.
    return f"table {family} {_TABLE}\ndelete table {family} {_TABLE}\n"
