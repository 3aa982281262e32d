"""
GCP's firewall rules: by priority, deny before allow at the same one, for all machines of a network or for those with a
tag or a service account. At last nothing comes in and everything goes out (cloud.google.com/firewall/docs/firewalls).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pulumi_policy import PolicyResource

from .guards import ANYWHERE, Guard, Traffic, Verdict, everywhere, is_protocol, within
from .inputs import Props, known, leaves, number, rows, texts, written
from .known import GCP_FIREWALL, GCP_INSTANCE, GCP_NETWORK
from .machines import gcp_tags, says_gateway, uses_tailscale
from .ranges import site
from .rule import Report, what

_DEFAULT_PRIORITY = 1000


@dataclass(kw_only=True)
class GcpGuard(Guard):
    """The firewall rules that reach certain machines."""

    target: str
    firewalls: list[PolicyResource]

    def verdict(self, traffic: Traffic) -> Verdict:
        verdict = Verdict()
        for firewall in self.firewalls:
            owner = f"firewall {firewall.name}"
            answer = verdict.ask(owner, partial(_answer, firewall.props, traffic))
            if answer is not None:
                verdict.passes = answer
                return verdict
        verdict.passes = traffic.direction == "out"
        return verdict

    def remedy(self, traffic: Traffic) -> str:
        ranges = "sourceRanges" if traffic.direction == "in" else "direction EGRESS, destinationRanges"
        return (
            f"add a firewall rule with allows {traffic.protocol} {traffic.port}, {ranges} {ANYWHERE} and "
            f"{self.target}, of a smaller priority number than rules that deny it"
        )


@dataclass(frozen=True)
class _Target:
    """Machines as firewall rules tell them apart."""

    name: str
    urn: str
    wanted: str
    tags: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    network: str = ""
    network_is_here: bool = False


def gcp_guards(
    resources: Sequence[PolicyResource], machines: Sequence[PolicyResource], report: Report
) -> Iterator[GcpGuard]:
    """
    Guards of the gateways among the stack's machines, and of tags that are called gateway without a machine (their
    machines are made by a group). A machine that no rule of the stack reaches is judged if its network is made here.
    """
    firewalls = _firewalls(resources, report)
    targets: list[_Target] = []
    for machine in machines:
        if machine.resource_type == GCP_INSTANCE:
            with report.judging(what(machine), machine.urn):
                targets.append(_target(machine))
    targets += _tag_targets(firewalls, targets, uses_tailscale(resources))
    for target in targets:
        reaching = [firewall for firewall in firewalls if _reaches(firewall, target)]
        if reaching or target.network_is_here:
            yield GcpGuard(name=target.name, urn=target.urn, target=target.wanted, firewalls=reaching)


def _firewalls(resources: Sequence[PolicyResource], report: Report) -> list[PolicyResource]:
    """In the order in which they decide; what tells whom they reach must be known."""
    found: list[tuple[int, bool, PolicyResource]] = []
    for resource in resources:
        if resource.resource_type != GCP_FIREWALL:
            continue
        with report.judging(what(resource), resource.urn):
            texts(resource.props, "targetTags")
            priority = number(resource.props.get("priority"))
            order = _DEFAULT_PRIORITY if priority is None else priority
            found.append((order, not written(resource.props, "denies"), resource))
    return [resource for *_, resource in sorted(found, key=lambda item: item[:2])]


def _target(machine: PolicyResource) -> _Target:
    interfaces = [each for each in rows(machine.props, "networkInterfaces")]
    networks = [
        str(known(each, "network")).rsplit("/", 1)[-1] for each in interfaces if known(each, "network")
    ]
    tags = gcp_tags(machine)
    owner = site(machine, "networkInterfaces") or (networks[0] if networks else "")
    account = known(machine.props, "serviceAccount") or {}
    made_here = any(each.resource_type == GCP_NETWORK for each in _networks(machine))
    wanted = f"targetTags {tags[0]}" if tags else "no target"
    return _Target(
        name=f"gateway {machine.name}",
        urn=machine.urn,
        wanted=wanted,
        tags=frozenset(tags),
        accounts=frozenset([*_owners(machine, "serviceAccount"), str(known(account, "email") or "")]) - {""},
        network=owner,
        network_is_here=made_here,
    )


def _networks(machine: PolicyResource) -> Iterator[PolicyResource]:
    for owner in machine.property_dependencies.get("networkInterfaces", []):
        yield owner
        yield from owner.property_dependencies.get("network", [])


def _owners(resource: PolicyResource, key: str) -> list[str]:
    return [str(owner.urn) for owner in resource.property_dependencies.get(key, [])]


def _tag_targets(
    firewalls: Sequence[PolicyResource], targets: Sequence[_Target], tailscale: bool
) -> Iterator[_Target]:
    had = {tag for target in targets for tag in target.tags}
    urns: dict[str, str] = {}
    for firewall in firewalls:
        for tag in texts(firewall.props, "targetTags"):
            if tag not in had and says_gateway([tag], tailscale=tailscale):
                urns.setdefault(tag, firewall.urn)
    for tag, urn in sorted(urns.items()):
        yield _Target(
            name=f"machines tagged {tag}", urn=urn, wanted=f"targetTags {tag}", tags=frozenset([tag])
        )


def _reaches(firewall: PolicyResource, target: _Target) -> bool:
    network = site(firewall, "network")
    if network and target.network and network != target.network:
        return False
    tags = texts(firewall.props, "targetTags")
    if not tags and not written(firewall.props, "targetServiceAccounts"):
        return True
    plain = leaves(known(firewall.props, "targetServiceAccounts"))
    accounts = {*_owners(firewall, "targetServiceAccounts"), *plain}
    return bool(target.tags & set(tags)) or bool(target.accounts & accounts)


def _answer(props: Props, traffic: Traffic) -> bool | None:
    """True: let through. False: dropped. None: this rule is not about it, or about some of its sources only."""
    direction = {"in": "INGRESS", "out": "EGRESS"}[traffic.direction]
    if props.get("disabled") or str(props.get("direction") or "INGRESS").upper() != direction:
        return None
    ranges = texts(props, "sourceRanges" if traffic.direction == "in" else "destinationRanges")
    # Without ranges a rule for what goes out is about every destination.
    if not everywhere(ranges) and (ranges or traffic.direction == "in"):
        return None
    for key, answer in (("denies", False), ("allows", True)):
        if any(_matches(entry, traffic) for entry in rows(props, key)):
            return answer
    return None


def _matches(entry: Props, traffic: Traffic) -> bool:
    return is_protocol(entry.get("protocol"), traffic) and _port(list(rows(entry, "ports")), traffic.port)


def _port(ports: list[Any], wanted: int) -> bool:
    spans = [str(port).split("-") for port in ports]
    return not spans or any(within(wanted, span[0], span[-1]) for span in spans)
