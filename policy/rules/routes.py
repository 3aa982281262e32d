"""Risk: routes that nobody uses: unreadable, claimed by two gateways, not approved, or with nothing let through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network

from pulumi_policy import Policy, ResourceValidationArgs, Severity, StackValidationArgs
from pulumi_policy.proxy import UnknownValueError

from .gateways import Gateway, Routes, stack_of
from .inputs import unjudged
from .judging import each_gateway, each_policy
from .manifests import at, declared, known
from .policy_text import PolicyText
from .regions import Region, api_service, hub_of, regions_of
from .rule import Report, resource_rule, stack_rule, what

REMOTE_COMMAND = "command:remote:Command"
COPY_TO_REMOTE = "command:remote:CopyToRemote"
# Inputs that a machine runs or keeps when it starts, of GCP, AWS, Azure and others.
_START_TEXTS = ("userData", "userDataBase64", "customData", "metadataStartupScript")
_STATIC_PODS = "/etc/kubernetes/manifests"

_ROUTE_PARSER = "https://github.com/tailscale/tailscale/blob/v1.84.3/net/netutil/routes.go"


def _routes_are_well_formed(gateway: Gateway, report: Report) -> None:
    for routes in gateway.routes:
        if routes.text is None:
            report(
                f"{routes.gateway}: could not be judged, its routes are put together only where it runs "
                f"({routes.place}). Write them plainly, in TS_ROUTES or in a ConfigMap of the stack.",
                routes.urn,
            )
        for fault, remedy in _faults(routes.text or ""):
            report(f'{routes.gateway}: {routes.place} "{routes.text}" {fault}. Write {remedy}.', routes.urn)


def _faults(text: str) -> Iterator[tuple[str, str]]:
    """containerboot splits at commas, trims nothing and refuses host bits."""
    if not text:
        return
    parts = [part.strip() for part in text.split(",")]
    if any(blank.isspace() for blank in text):
        yield "holds a blank, and containerboot trims none: it cannot start", f'"{",".join(parts)}"'
    for part in parts:
        try:
            network = ip_network(part, strict=False)
        except ValueError:
            yield f"has {part!r}, which is no range", "a range such as 10.1.0.0/24 in its place"
            continue
        if str(network.network_address) != part.split("/")[0]:
            yield f"has {part}, which is an address inside {network}", f"{network} in its place"


def gateways_have_prefixes_of_their_own(args: StackValidationArgs, report: Report) -> None:
    """Only the primary of a prefix may send from it, so the second of two equal gateways sends into nothing."""
    claims: dict[IPv4Network, list[Routes]] = defaultdict(list)
    for gateway in stack_of(args.resources).gateways:
        with report.judging(str(gateway), gateway.urn):
            for routes in gateway.routes:
                for prefix in routes.prefixes:
                    claims[prefix].append(routes)
            _report_copies(gateway, report)
    shared: dict[tuple[Routes, ...], list[IPv4Network]] = defaultdict(list)
    for prefix, claimants in claims.items():
        if len(claimants) > 1:
            shared[tuple(claimants)].append(prefix)
    for owners, prefixes in shared.items():
        names = " and ".join(f"gateway {routes.gateway}" for routes in owners)
        report(f"{_equal(names, prefixes)} {_ladder(prefixes)}", owners[-1].urn)


def _report_copies(gateway: Gateway, report: Report) -> None:
    """One list of routes for several pods is the same fault."""
    for routes in gateway.routes:
        if routes.prefixes and not routes.for_one and _has_copies(gateway):
            said = _equal(f"every pod of {gateway}", routes.prefixes)
            per_machine = "in a ConfigMap with a key for each machine, or by a workload for each machine"
            report(f"{said} {_ladder(routes.prefixes)} Give each its own list {per_machine}.", gateway.urn)


def _has_copies(gateway: Gateway) -> bool:
    workload = gateway.workload
    if workload.kind == "DaemonSet":
        return "kubernetes.io/hostname" not in (at(workload.pod, "nodeSelector") or {})
    return (at(workload.body, "spec", "replicas") or 1) > 1


def _equal(names: str, prefixes: list[IPv4Network]) -> str:
    ranges = ", ".join(str(prefix) for prefix in prefixes)
    return (
        f"{names}: advertise the same prefixes ({ranges}). The tailnet accepts packets from the primary of a prefix "
        "only, so equal-cost routes to them lose what the others send."
    )


def _ladder(prefixes: list[IPv4Network]) -> str:
    first = prefixes[0]
    halves = ",".join(str(half) for half in first.subnets()) if first.prefixlen < 32 else str(first)
    return f"Write a ladder: {first} for the first gateway, its halves {halves} for the second."


def advertised_routes_are_approved(args: StackValidationArgs, report: Report) -> None:
    """A route that is advertised and not approved is used by nobody, without a word."""
    stack = stack_of(args.resources)
    for policy in each_policy(args, report):
        approvers = list(policy.approvers())
        for gateway in stack.gateways:
            with report.judging(str(gateway), gateway.urn):
                for routes in gateway.routes:
                    missing = [
                        each for each in routes.prefixes if not _approved(each, gateway.tags, approvers)
                    ]
                    _report_missing(policy, gateway, routes, missing, report)


def _approved(
    prefix: IPv4Network, tags: frozenset[str], approvers: list[tuple[IPv4Network, frozenset[str]]]
) -> bool:
    """A longer prefix inside an approved one is approved, too."""
    return any(prefix.subnet_of(cidr) and (not tags or tags & names) for cidr, names in approvers)


def _report_missing(
    policy: PolicyText, gateway: Gateway, routes: Routes, missing: list[IPv4Network], report: Report
) -> None:
    if missing:
        tag = min(gateway.tags, default="tag:<region>")
        lines = ", ".join(f'"{prefix}": ["{tag}"]' for prefix in missing)
        report(
            f"{policy}: autoApprovers does not cover what gateway {routes.gateway} advertises, so those routes are "
            f"never used. Add to autoApprovers.routes: {lines} (or the block around them).",
            policy.urn,
        )


def grants_join_regions(args: StackValidationArgs, report: Report) -> None:
    """Senders keep their addresses, so a tag or a user as source matches no packet from behind a gateway."""
    stack = stack_of(args.resources)
    for policy in each_policy(args, report):
        regions = regions_of(stack)
        if policy.open_to_all or not stack.gateways:
            continue
        hub = hub_of(stack, regions)
        for one in regions:
            for other in regions:
                if one is not other:
                    _report_gap(policy, one, other, report)
            if hub and one is not hub and one.nodes and hub.nodes:
                api = api_service(args.resources)
                _report_closed_api(policy, one.nodes, hub.nodes, api, one, report)


def _report_gap(policy: PolicyText, one: Region, other: Region, report: Report) -> None:
    sources = (one.pods,) if one.pods else one.ranges
    targets = (other.pods,) if other.pods else other.ranges
    for source in sources:
        for target in targets:
            if not _granted(policy, source, target, None):
                report(
                    f"{policy}: nothing lets {source} (region {one.name}) reach {target} (region {other.name}); "
                    "senders keep their own addresses, so tags as sources do not match. Add to grants: "
                    f'{{"src": ["{source}"], "dst": ["{target}"], "ip": ["*"]}}.',
                    policy.urn,
                )


def _report_closed_api(
    policy: PolicyText, nodes: IPv4Network, hub: IPv4Network, api: str, region: Region, report: Report
) -> None:
    if not _granted(policy, nodes, hub, api):
        report(
            f"{policy}: nothing lets the nodes of region {region.name} ({nodes}) reach the API server ({hub}). Add to "
            f'grants: {{"src": ["{nodes}"], "dst": ["{hub}"], "ip": ["{api}"]}}.',
            policy.urn,
        )


def _granted(policy: PolicyText, source: IPv4Network, target: IPv4Network, service: str | None) -> bool:
    wanted = {"*", service}
    return any(
        wanted & set(grant.services)
        and policy.covers(grant.sources, source)
        and policy.covers(grant.targets, target)
        for grant in policy.grants
    )


def machine_texts_are_known(args: ResourceValidationArgs, report: Report) -> None:
    """A script that only an update knows may hold a gateway that no other rule has seen."""
    if declared(args.urn):
        return
    keys = ("create", "stdin") if args.resource_type == REMOTE_COMMAND else _START_TEXTS
    for key in keys:
        try:
            at(args.props, key)
        except UnknownValueError as error:
            report(unjudged(f"{what(args)}, the gateway that it may write", error), args.urn)
    target = known(args.props, "remotePath")
    if args.resource_type == COPY_TO_REMOTE and _STATIC_PODS in str(target):
        path = known(args.props, "source", "path")
        if path is not None:
            report(
                f"{what(args)}: could not be judged, it copies {path} to {target} and policies read no files. "
                "Write the manifest as a StringAsset.",
                args.urn,
            )


RULES: tuple[Policy, ...] = (
    stack_rule(
        name="routes-are-well-formed",
        description="Lists of routes hold ranges and commas, no blanks and no host bits.",
        validate=each_gateway(_routes_are_well_formed),
        severity=Severity.CRITICAL,
        remediation='Write ranges with commas and nothing else, such as "10.1.0.0/24,10.129.0.0/16".',
        source=_ROUTE_PARSER,
    ),
    stack_rule(
        name="gateways-have-prefixes-of-their-own",
        description="No two gateways advertise the same prefix.",
        validate=gateways_have_prefixes_of_their_own,
        severity=Severity.CRITICAL,
        remediation="Give the first gateway of a region the whole block and the second its two halves.",
        source="https://github.com/tailscale/tailscale/issues/19612",
    ),
    stack_rule(
        name="advertised-routes-are-approved",
        description="The policy file approves every route that a gateway of the stack advertises.",
        validate=advertised_routes_are_approved,
        severity=Severity.CRITICAL,
        remediation="Add the region's blocks with its tag to autoApprovers.routes.",
        source="https://tailscale.com/kb/1337/policy-syntax#autoapprovers",
    ),
    stack_rule(
        name="grants-join-regions",
        description="The policy file lets pods of every region reach pods of every other, by their addresses.",
        validate=grants_join_regions,
        severity=Severity.CRITICAL,
        remediation="Add grants whose src and dst are the regions' ranges.",
        source="https://tailscale.com/kb/1324/grants",
    ),
    resource_rule(
        name="machine-texts-are-known",
        description="What machines run is known before they are made, or declared by the component around them.",
        types=None,
        validate=machine_texts_are_known,
        severity=Severity.MEDIUM,
        remediation="Write scripts and user data with plain values, and pass secrets separately.",
        source="https://www.pulumi.com/docs/iac/crossguard/core-concepts/",
    ),
)
