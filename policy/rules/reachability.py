"""Risk: a gateway that cannot be reached at Tailscale's port, so that its traffic crosses a relay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from pulumi_policy import PolicyResource, ResourceValidationArgs, Severity, StackValidationArgs
from pulumi_policy.proxy import UnknownValueError

from .inputs import Props, number, rows, unjudged
from .rule import Report, resource_rule, stack_rule, what

PORT = 41641
ANYWHERE = "0.0.0.0/0"
OPENING = f"{{protocol: udp, port: {PORT}, source: {ANYWHERE}}}"

REGION_TYPES = ("tailspan:components:CloudRegion", "tailspan:components:GpuProviderRegion")
LAB_FIREWALL = "lab:index:Firewall"
LAB_MACHINE = "lab:index:Machine"
GCP_FIREWALL = "gcp:compute/firewall:Firewall"
AWS_GROUP = "aws:ec2/securityGroup:SecurityGroup"
AWS_INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"

_URL = "https://tailscale.com/kb/1082/firewall-ports"
_REMEDIATION = f"Under the region's gateway_firewall in the stack file write {OPENING}."


@dataclass
class Gateways:
    """Machines that one or more firewalls guard together; one opening among them is enough."""

    name: str
    remedy: str
    urn: str
    open: bool = False
    unknown: list[str] = field(default_factory=list)

    def consider(self, owner: str, opens: Callable[[], bool]) -> None:
        try:
            self.open = opens() or self.open
        except UnknownValueError as error:
            self.unknown.append(unjudged(owner, error))


class Selected(NamedTuple):
    """A resource and the words that tell which gateways it concerns."""

    resource: PolicyResource
    words: tuple[str, ...]


# What tells which gateways a resource concerns; read first, so that an unknown one is noticed.
_SELECTORS: dict[str, Callable[[PolicyResource], tuple[str, ...]]] = {
    LAB_FIREWALL: lambda resource: (str(resource.props.get("network")), str(resource.props.get("target"))),
    LAB_MACHINE: lambda resource: (str(resource.props.get("network")), str(resource.props.get("role"))),
    GCP_FIREWALL: lambda resource: tuple(str(tag) for tag in rows(resource.props, "targetTags")),
    AWS_GROUP: lambda resource: (resource.name, str(resource.props.get("name"))),
}


def regions_open_wireguard(args: ResourceValidationArgs, report: Report) -> None:
    """A region's declared openings; also for providers whose firewall is not a resource of the stack."""
    gateways = Gateways(
        f"region {args.name}",
        f"write {OPENING} under the region's gateway_firewall in the stack file",
        args.urn,
    )
    gateways.consider(gateways.name, lambda: _rules_open(rows(args.props, "gatewayFirewall")))
    _report(gateways, report)


def firewalls_open_wireguard(args: StackValidationArgs, report: Report) -> None:
    """The firewalls that guard gateways, whoever made them."""
    selected: list[Selected] = []
    for resource in args.resources:
        if resource.resource_type not in _SELECTORS:
            continue
        with report.judging(what(resource), resource.urn):
            selected.append(Selected(resource, _SELECTORS[resource.resource_type](resource)))
    for gateways in (*_lab(selected), *_gcp(selected), *_aws(selected, args.resources)):
        _report(gateways, report)


def _report(gateways: Gateways, report: Report) -> None:
    if gateways.open:
        return
    if gateways.unknown:
        for line in gateways.unknown:
            report(line, gateways.urn)
        return
    report(
        f"{gateways.name}: UDP {PORT} is not open from {ANYWHERE}, so other regions' "
        "gateways cannot connect directly and "
        f"traffic is relayed. To mend it, {gateways.remedy}.",
        gateways.urn,
    )


def _rules_open(rules: Iterable[Props]) -> bool:
    return any(
        str(rule.get("protocol")).lower() == "udp"
        and number(rule.get("port")) == PORT
        and rule.get("source") == ANYWHERE
        for rule in rules
    )


def _lab(selected: list[Selected]) -> Iterator[Gateways]:
    """A lab network's gateways are guarded by its firewalls for gateways and for all machines together."""
    networks: dict[str, Gateways] = {}
    for resource, words in selected:
        if resource.resource_type not in (LAB_FIREWALL, LAB_MACHINE):
            continue
        network, target = words
        if target not in ("gateways", "all", "gateway"):
            continue
        remedy = f"write {OPENING} under gateway_firewall of region {network} in the stack file"
        gateways = networks.setdefault(network, Gateways(f"lab network {network}", remedy, resource.urn))
        if resource.resource_type == LAB_FIREWALL:
            gateways.urn = resource.urn
            gateways.consider(f"lab firewall {resource.name}", partial(_lab_opens, resource.props))
    yield from networks.values()


def _lab_opens(props: Props) -> bool:
    return _rules_open(rows(props, "ingress"))


def _gcp(selected: list[Selected]) -> Iterator[Gateways]:
    """GCP firewall rules reach machines by tag; a rule without tags reaches every machine."""
    firewalls = [(resource, tags) for resource, tags in selected if resource.resource_type == GCP_FIREWALL]
    for tag in sorted({tag for _, tags in firewalls for tag in tags if "gateway" in tag}):
        reaching = [resource for resource, tags in firewalls if not tags or tag in tags]
        own = next(resource for resource, tags in firewalls if tag in tags)
        remedy = f"add a firewall rule with allows udp {PORT}, sourceRanges {ANYWHERE} and targetTags {tag}"
        gateways = Gateways(f"machines tagged {tag}", remedy, own.urn)
        for firewall in reaching:
            gateways.consider(f"firewall {firewall.name}", partial(_gcp_opens, firewall.props))
        yield gateways


def _gcp_opens(props: Props) -> bool:
    if props.get("disabled") or str(props.get("direction") or "INGRESS").upper() != "INGRESS":
        return False
    if ANYWHERE not in list(rows(props, "sourceRanges")):
        return False
    return any(
        str(allow.get("protocol")).lower() in ("udp", "17", "all") and _gcp_port(list(rows(allow, "ports")))
        for allow in rows(props, "allows")
    )


def _gcp_port(ports: list[Any]) -> bool:
    spans = [str(port).split("-") for port in ports]
    return not spans or any((number(span[0]) or 0) <= PORT <= (number(span[-1]) or 0) for span in spans)


def _aws(selected: list[Selected], resources: list[PolicyResource]) -> Iterator[Gateways]:
    """AWS security groups whose name speaks of gateways, with their inline and their separate rules."""
    for group, names in selected:
        if group.resource_type != AWS_GROUP or not any("gateway" in name for name in names):
            continue
        remedy = f"add an ingress rule with protocol udp, ports {PORT} to {PORT} and {ANYWHERE}"
        gateways = Gateways(f"security group {group.name}", remedy, group.urn)
        gateways.consider(gateways.name, partial(_aws_inline_opens, group.props))
        for rule in resources:
            if rule.resource_type == AWS_INGRESS and _belongs(rule, group):
                gateways.consider(f"ingress rule {rule.name}", partial(_aws_opens, rule.props))
        yield gateways


def _aws_inline_opens(props: Props) -> bool:
    return any(_aws_opens(rule) for rule in rows(props, "ingress"))


def _belongs(rule: PolicyResource, group: PolicyResource) -> bool:
    """By the engine's dependencies: the group's id itself is not known before it exists."""
    return any(owner.urn == group.urn for owner in rule.property_dependencies.get("securityGroupId", []))


def _aws_opens(rule: Props) -> bool:
    protocol = str(rule.get("ipProtocol") or rule.get("protocol")).lower()
    sources = [*rows(rule, "cidrBlocks"), rule.get("cidrIpv4")]
    if ANYWHERE not in sources:
        return False
    if protocol == "-1":
        return True
    first, last = number(rule.get("fromPort")), number(rule.get("toPort"))
    return protocol in ("udp", "17") and first is not None and last is not None and first <= PORT <= last


REGIONS_OPEN_WIREGUARD = resource_rule(
    name="regions-open-udp-41641",
    description="Every region's gateways can be reached at UDP 41641.",
    types=REGION_TYPES,
    validate=regions_open_wireguard,
    severity=Severity.HIGH,
    remediation=_REMEDIATION,
    source=_URL,
)

FIREWALLS_OPEN_WIREGUARD = stack_rule(
    name="firewalls-open-udp-41641",
    description="Firewalls in front of gateways let UDP 41641 in from everywhere.",
    validate=firewalls_open_wireguard,
    severity=Severity.HIGH,
    remediation=_REMEDIATION,
    source=_URL,
)

RULES = (REGIONS_OPEN_WIREGUARD, FIREWALLS_OPEN_WIREGUARD)
