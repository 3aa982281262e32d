"""Risk: a gateway that cannot be reached at Tailscale's port, or does not forward: traffic is relayed or lost."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_policy import PolicyResource, ResourceValidationArgs, Severity, StackValidationArgs

from . import cloud_routes, pods
from .guards import ANYWHERE, WANTED_OUT, WIREGUARD_IN, Guard, Verdict
from .guards_aws import aws_guards
from .guards_gcp import gcp_guards
from .guards_lab import OPENING, lab_guards, rules_open
from .inputs import known, rows
from .known import (
    AWS_EIP,
    AWS_EIP_ASSOCIATION,
    AWS_INSTANCE,
    AWS_INTERFACE,
    AWS_SUBNET,
    GCP_INSTANCE,
    LAB_MACHINE,
    LAB_NETWORK,
    REGION_TYPES,
)
from .machines import gateways
from .rule import Report, resource_rule, stack_rule, what

_PORTS = "https://tailscale.com/kb/1082/firewall-ports"


def regions_open_wireguard(args: ResourceValidationArgs, report: Report) -> None:
    """
    A region's declared openings; also for providers whose firewall is not a resource of the stack. One that nobody can
    dial says why (`noInbound`): it dials the others, whose openings are judged here, too.
    """
    with report.judging(f"region {args.name}"):
        if known(args.props, "noInbound"):
            return
        if not rules_open(rows(args.props, "gatewayFirewall"), WIREGUARD_IN):
            remedy = f"write {OPENING} under the region's gateway_firewall in the stack file"
            report(_closed(f"region {args.name}", remedy))


def firewalls_open_wireguard(args: StackValidationArgs, report: Report) -> None:
    """The firewalls that guard gateways, whoever made them."""
    for guard in _guards(args, report):
        verdict = guard.verdict(WIREGUARD_IN)
        if not _unknown(guard, verdict, report):
            report(_closed(guard.name, guard.remedy(WIREGUARD_IN)), guard.urn)


def firewalls_let_gateways_out(args: StackValidationArgs, report: Report) -> None:
    """What a gateway itself connects to: its control server, relays, STUN and its peers."""
    for guard in _guards(args, report):
        for traffic in WANTED_OUT:
            verdict = guard.verdict(traffic)
            if not _unknown(guard, verdict, report):
                report(
                    f"{guard.name}: {traffic} may not leave for {ANYWHERE}, so it cannot reach its control server, "
                    f"relays or peers. To mend it, {guard.remedy(traffic)}.",
                    guard.urn,
                )


def _guards(args: StackValidationArgs, report: Report) -> Iterator[Guard]:
    machines = gateways(args.resources)
    yield from lab_guards(args.resources, report)
    yield from gcp_guards(args.resources, machines, report)
    yield from aws_guards(args.resources, machines)


def _unknown(guard: Guard, verdict: Verdict, report: Report) -> bool:
    """Whether there is nothing more to say: the traffic passes, or nobody can tell."""
    if verdict.passes:
        return True
    for line in verdict.unknown:
        report(line, guard.urn)
    return bool(verdict.unknown)


def _closed(owner: str, remedy: str) -> str:
    return (
        f"{owner}: {WIREGUARD_IN} is not open from {ANYWHERE}, so other regions' gateways cannot connect directly and "
        f"traffic is relayed. To mend it, {remedy}."
    )


def gateways_have_public_address(args: StackValidationArgs, report: Report) -> None:
    """A machine of a cloud that is a gateway; one behind a lab's NAT is there to be relayed."""
    for machine in gateways(args.resources):
        with report.judging(what(machine), machine.urn):
            remedy = _ADDRESSED[machine.resource_type](machine, args)
            if remedy:
                report(
                    f"gateway {machine.name}: has no public address, so a region behind NAT reaches it by a relay "
                    f"only. {remedy}",
                    machine.urn,
                )


def _gcp_address(machine: PolicyResource, args: StackValidationArgs) -> str:
    interfaces = rows(machine.props, "networkInterfaces")
    public = any(len(list(rows(interface, "accessConfigs"))) for interface in interfaces)
    return "" if public else "Write accessConfigs: [{}] in its networkInterfaces, or one with natIp."


def _aws_address(machine: PolicyResource, args: StackValidationArgs) -> str:
    said = machine.props.get("associatePublicIpAddress")
    if said is True or any(_is_address_of(resource, machine) for resource in args.resources):
        return ""
    subnets = machine.property_dependencies.get("subnetId", [])
    by_subnet = any(
        subnet.resource_type == AWS_SUBNET and known(subnet.props, "mapPublicIpOnLaunch") is True
        for subnet in subnets
    )
    return "" if by_subnet and said is None else "Write associatePublicIpAddress: true, or give it an Eip."


def _is_address_of(resource: PolicyResource, machine: PolicyResource) -> bool:
    keys = {
        AWS_EIP: ("instance", "networkInterface"),
        AWS_EIP_ASSOCIATION: ("instanceId", "networkInterfaceId"),
    }
    owners = [
        owner
        for key in keys.get(resource.resource_type, ())
        for owner in resource.property_dependencies.get(key, [])
    ]
    interfaces = {owner.urn for owner in _interfaces(machine)}
    return any(owner.urn == machine.urn or owner.urn in interfaces for owner in owners)


def _interfaces(machine: PolicyResource) -> Iterator[PolicyResource]:
    for owner in machine.property_dependencies.get("primaryNetworkInterface", []):
        if owner.resource_type == AWS_INTERFACE:
            yield owner


def _lab_address(machine: PolicyResource, args: StackValidationArgs) -> str:
    if machine.props.get("public") is True:
        return ""
    name = machine.props.get("network")
    behind_nat = any(
        resource.resource_type == LAB_NETWORK
        and known(resource.props, "name") == name
        and known(resource.props, "nat")
        for resource in args.resources
    )
    return "" if behind_nat else "Write public: true, or give its network a NAT."


_ADDRESSED = {GCP_INSTANCE: _gcp_address, AWS_INSTANCE: _aws_address, LAB_MACHINE: _lab_address}


def gateways_may_forward(args: StackValidationArgs, report: Report) -> None:
    """Both clouds drop packets whose address is not the machine's own, unless they are told not to."""
    for machine in gateways(args.resources):
        with report.judging(what(machine), machine.urn):
            remedy = _drops_foreign(machine)
            if remedy:
                report(
                    f"gateway {machine.name}: its cloud drops packets that are not addressed to it. {remedy}",
                    machine.urn,
                )


def _drops_foreign(machine: PolicyResource) -> str:
    if machine.resource_type == GCP_INSTANCE and machine.props.get("canIpForward") is not True:
        return "Write canIpForward: true."
    if machine.resource_type == AWS_INSTANCE:
        interfaces = list(_interfaces(machine))
        checked = [each for each in interfaces or [machine] if each.props.get("sourceDestCheck") is not False]
        if checked:
            return f"Write sourceDestCheck: false on {checked[0].name}."
    return ""


REGIONS_OPEN_WIREGUARD = resource_rule(
    name="regions-open-udp-41641",
    description="Every region's gateways can be reached at UDP 41641, or no_inbound says why nobody need.",
    types=REGION_TYPES,
    validate=regions_open_wireguard,
    severity=Severity.HIGH,
    remediation=f"Under the region's gateway_firewall in the stack file write {OPENING}.",
    source=_PORTS,
)

FIREWALLS_OPEN_WIREGUARD = stack_rule(
    name="firewalls-open-udp-41641",
    description="Firewalls in front of gateways let UDP 41641 in from everywhere.",
    validate=firewalls_open_wireguard,
    severity=Severity.HIGH,
    remediation="Let UDP 41641 in from 0.0.0.0/0, for the gateways alone, and let no rule of higher priority deny it.",
    source=_PORTS,
)

FIREWALLS_LET_OUT = stack_rule(
    name="firewalls-let-gateways-out",
    description="Gateways may connect to TCP 80 and 443, UDP 3478 and UDP 41641 anywhere.",
    validate=firewalls_let_gateways_out,
    severity=Severity.HIGH,
    remediation="Let the gateways' firewall pass TCP 80 and 443 and UDP 3478 and 41641 to 0.0.0.0/0.",
    source=_PORTS,
)

PUBLIC_ADDRESS = stack_rule(
    name="gateways-have-a-public-address",
    description="A gateway machine of a cloud has a public address.",
    validate=gateways_have_public_address,
    severity=Severity.HIGH,
    remediation="Give the gateway's machine a public address, of its own or of its subnet.",
    source="https://tailscale.com/kb/1463/troubleshoot-device-connectivity",
)

MAY_FORWARD = stack_rule(
    name="gateways-may-forward",
    description="A gateway machine of a cloud may send and receive packets of other machines.",
    validate=gateways_may_forward,
    severity=Severity.CRITICAL,
    remediation="On GCP write canIpForward: true, on AWS sourceDestCheck: false.",
    source="https://cloud.google.com/vpc/docs/using-routes#canipforward",
)

RULES = (
    REGIONS_OPEN_WIREGUARD,
    FIREWALLS_OPEN_WIREGUARD,
    FIREWALLS_LET_OUT,
    PUBLIC_ADDRESS,
    MAY_FORWARD,
    *pods.RULES,
    *cloud_routes.RULES,
)
