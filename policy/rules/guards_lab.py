"""The lab's firewalls: what no rule opens is closed, and everything may go out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from pulumi_policy import PolicyResource

from .guards import ANYWHERE, WIREGUARD_IN, Guard, Traffic, Verdict, everywhere
from .inputs import Props, number, rows
from .known import LAB_FIREWALL, LAB_MACHINE
from .rule import Report, what

OPENING = f"{{protocol: udp, port: {WIREGUARD_IN.port}, source: {ANYWHERE}}}"
_FOR_GATEWAYS = ("gateways", "all", "gateway")


@dataclass(kw_only=True)
class LabGuard(Guard):
    """The firewalls for gateways and for all machines of a lab network, together."""

    network: str
    firewalls: list[PolicyResource] = field(default_factory=list)

    def verdict(self, traffic: Traffic) -> Verdict:
        if traffic.direction == "out":
            return Verdict(passes=True)
        verdict = Verdict()
        for firewall in self.firewalls:
            asked = partial(_ingress_opens, firewall.props, traffic)
            verdict.passes = bool(verdict.ask(f"lab firewall {firewall.name}", asked)) or verdict.passes
        return verdict

    def remedy(self, traffic: Traffic) -> str:
        return f"write {OPENING} under gateway_firewall of region {self.network} in the stack file"


def lab_guards(resources: Sequence[PolicyResource], report: Report) -> Iterator[LabGuard]:
    networks: dict[str, LabGuard] = {}
    for resource in resources:
        if resource.resource_type not in (LAB_FIREWALL, LAB_MACHINE):
            continue
        with report.judging(what(resource), resource.urn):
            network = str(resource.props.get("network"))
            target = str(resource.props.get("target") or resource.props.get("role"))
            if target not in _FOR_GATEWAYS:
                continue
            guard = networks.setdefault(
                network, LabGuard(name=f"lab network {network}", urn=resource.urn, network=network)
            )
            if resource.resource_type == LAB_FIREWALL:
                guard.urn = resource.urn
                guard.firewalls.append(resource)
    yield from networks.values()


def _ingress_opens(props: Props, traffic: Traffic) -> bool:
    return rules_open(rows(props, "ingress"), traffic)


def rules_open(rules: Iterable[Props], traffic: Traffic) -> bool:
    """Openings as the stack file has them."""
    sources = [
        rule.get("source")
        for rule in rules
        if str(rule.get("protocol")).lower() == traffic.protocol and number(rule.get("port")) == traffic.port
    ]
    return everywhere(sources)
