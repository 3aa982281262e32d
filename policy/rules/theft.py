"""Risk: a stolen machine that takes more than itself: another region's traffic, gateways' keys, the hub's machines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy import Policy, Severity, StackValidationArgs

from .gateways import Gateway, Stack, stack_of
from .guarded import guarded_labels
from .judging import each_gateway, each_policy
from .manifests import Object, at, items, known, mappings
from .policy_text import Grant, PolicyText
from .regions import Region, api_service, hub_of, regions_of
from .rule import Report, Setting, stack_rule

TRUSTED = "node-restriction.kubernetes.io/"
_READING = frozenset(("get", "list", "watch", "update", "patch", "*"))
_SHARED = frozenset(("default", "kube-system", "kube-public"))
_NODE_RESTRICTION = (
    "https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction"
)


def approvals_end_at_the_region(args: StackValidationArgs, report: Report) -> None:
    """With one tag for all, a stolen GPU gateway advertises the API server's /32 and gets its traffic."""
    regions = regions_of(stack_of(args.resources))
    for policy in each_policy(args, report):
        owned: dict[str, set[str]] = defaultdict(set)
        for cidr, tags in policy.approvers():
            for tag in tags:
                owned[tag] |= {region.name for region in regions if region.owns(cidr)}
        for tag, names in sorted(owned.items()):
            if len(names) > 1:
                report(
                    f"{policy}: {tag} may advertise ranges of the regions {_list(names)}, so a machine stolen from one "
                    "takes the traffic of the others. Write a tag for each region, and in autoApprovers.routes its own "
                    "region's ranges only.",
                    policy.urn,
                )


def regions_share_no_tag(args: StackValidationArgs, report: Report) -> None:
    stack = stack_of(args.resources)
    regions = regions_of(stack)
    users: dict[str, set[str]] = defaultdict(set)
    for gateway in stack.gateways:
        with report.judging(str(gateway), gateway.urn):
            prefixes = [prefix for routes in gateway.routes for prefix in routes.prefixes]
            names = {region.name for region in regions if any(region.owns(prefix) for prefix in prefixes)}
            for tag in gateway.tags:
                users[tag] |= names
    for tag, names in sorted(users.items()):
        if len(names) > 1:
            report(
                f"{tag}: is the tag of gateways of the regions {_list(names)}, so no policy file can tell a stolen one "
                "from the others. Write --advertise-tags with a tag for each region.",
            )


def _is_placed_by_trusted_labels(gateway: Gateway, report: Report) -> None:
    if gateway.workload.static:
        return
    keys = [*(at(gateway.workload.pod, "nodeSelector") or {}), *_affinity_keys(gateway.workload.pod)]
    guarded = guarded_labels(gateway.stack)
    if not any(str(key).startswith(TRUSTED) or key in guarded for key in keys):
        got = f"selects nodes by {_list(map(str, keys))}" if keys else "selects no nodes"
        report(
            f"{gateway}: {got}, and a kubelet can label its own node so: a stolen machine then gets this pod and its "
            f"key. Write a nodeSelector with a label under {TRUSTED}, which only the operator can set, or a "
            "ValidatingAdmissionPolicy that keeps kubelets from setting this one.",
            gateway.urn,
        )


def _affinity_keys(pod: Any) -> Iterator[Any]:
    required = at(pod, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    for term in mappings(at(required, "nodeSelectorTerms")):
        for expression in mappings(at(term, "matchExpressions")):
            yield at(expression, "key")


def gateways_read_named_secrets(args: StackValidationArgs, report: Report) -> None:
    """A namespace's Secrets are every gateway's keys and identity."""
    stack = stack_of(args.resources)
    for gateway in stack.gateways:
        if gateway.workload.static:
            continue
        with report.judging(str(gateway), gateway.urn):
            account = str(at(gateway.workload.pod, "serviceAccountName") or "default")
            for role in _roles(stack, gateway.workload.namespace, account):
                if any(_gives_all_secrets(row) for row in mappings(at(role.body, "rules"))):
                    report(
                        f"{role}: lets {gateway} (service account {account}) read every Secret of the namespace, and a "
                        "pod on a stolen machine reads what it may. Add resourceNames with the Secrets that it needs.",
                        role.urn,
                    )


def _roles(stack: Stack, namespace: str, account: str) -> Iterator[Object]:
    for binding in stack.of("RoleBinding", "ClusterRoleBinding"):
        wide = binding.kind == "ClusterRoleBinding"
        if not wide and binding.namespace != namespace:
            continue
        subjects = mappings(at(binding.body, "subjects"))
        if any(_is_account(subject, namespace, account, binding) for subject in subjects):
            kind, name = at(binding.body, "roleRef", "kind"), at(binding.body, "roleRef", "name")
            for role in stack.of("Role", "ClusterRole"):
                if (
                    role.kind == kind
                    and role.name == name
                    and (kind == "ClusterRole" or role.namespace == namespace)
                ):
                    yield role


def _is_account(subject: Mapping[str, Any], namespace: str, account: str, binding: Object) -> bool:
    return (
        at(subject, "kind") == "ServiceAccount"
        and at(subject, "name") == account
        and (at(subject, "namespace") or binding.namespace) == namespace
    )


def _gives_all_secrets(row: Mapping[str, Any]) -> bool:
    """A right to create cannot be bound to a name, and reads nothing."""
    resources, groups = set(items(at(row, "resources"))), set(items(at(row, "apiGroups")))
    reads = _READING & set(items(at(row, "verbs")))
    named = list(items(at(row, "resourceNames")))
    return bool(resources & {"secrets", "*"} and groups & {"", "*"} and reads and not named)


def gateways_live_apart(args: StackValidationArgs, report: Report) -> None:
    """Whoever may create pods in a namespace may mount its Secrets, and a gateway's pods are privileged besides."""
    stack = stack_of(args.resources)
    mine = {id(gateway.workload) for gateway in stack.gateways}
    others = {
        known(item.body, "metadata", "namespace"): item
        for item in stack.workloads
        if id(item) not in mine and not item.on_machine
    }
    for gateway in stack.gateways:
        with report.judging(str(gateway), gateway.urn):
            namespace = gateway.workload.namespace
            if gateway.workload.static or not (namespace in _SHARED or namespace in others):
                continue
            neighbour = f" with {others[namespace]}" if namespace in others else ""
            report(
                f"{gateway}: shares the namespace {namespace}{neighbour}, where whoever may create pods reads the "
                "gateways' keys. Give it a namespace of its own: write metadata.namespace: tailscale.",
                gateway.urn,
            )


def hub_opens_listed_ports(args: StackValidationArgs, report: Report) -> None:
    """Rented machines need the API server and what the pod network asks for, and nothing else of the hub's nodes."""
    stack = stack_of(args.resources)
    regions = regions_of(stack)
    hub = hub_of(stack, regions)
    if hub is None or hub.nodes is None:
        return
    allowed = {str(service) for service in report.settings["services"]} | {api_service(args.resources)}
    for policy in each_policy(args, report):
        for grant in policy.grants:
            wide = [service for service in _services(grant) if service not in allowed]
            who = _sources(policy, grant, hub, regions)
            if wide and who and policy.touches(grant.targets, hub.nodes):
                report(
                    f"{policy}: lets {_list(who)} reach the nodes of region {hub.name} ({hub.nodes}) at {_list(wide)}. "
                    f"Write a grant to that range for {_list(allowed)} only, and let this one leave it out.",
                    policy.urn,
                )


def _services(grant: Grant) -> Iterator[str]:
    """One service a port; a rule of the older form without a protocol means TCP as well."""
    for service in grant.services:
        protocol, _, ports = service.partition(":")
        for port in ports.split(",") if ports else (None,):
            yield service if port is None else f"{'tcp' if protocol == 'any' else protocol}:{port}"


def _sources(policy: PolicyText, grant: Grant, hub: Region, regions: Sequence[Region]) -> list[str]:
    """The other regions that a grant speaks of, by their ranges or by a tag that may advertise them."""
    found: list[str] = []
    for region in regions:
        if region.name == hub.name:
            continue
        tags = {tag for cidr, names in policy.approvers() if region.owns(cidr) for tag in names}
        if tags & set(grant.sources) or any(policy.touches(grant.sources, each) for each in region.ranges):
            found.append(f"region {region.name}")
    return found


def _list(names: Any) -> str:
    return ", ".join(sorted(names))


RULES: tuple[Policy, ...] = (
    stack_rule(
        name="approvals-end-at-the-region",
        description="A tag may advertise the ranges of one region only.",
        validate=approvals_end_at_the_region,
        severity=Severity.CRITICAL,
        remediation="Write a tag for each region, approved for its own ranges.",
        source="https://tailscale.com/kb/1337/policy-syntax#autoapprovers",
    ),
    stack_rule(
        name="regions-share-no-tag",
        description="Gateways of different regions have different tags.",
        validate=regions_share_no_tag,
        severity=Severity.HIGH,
        remediation="Write --advertise-tags with a tag for each region.",
        source="https://tailscale.com/kb/1068/tags",
    ),
    stack_rule(
        name="gateways-are-placed-by-trusted-labels",
        description="A node cannot make itself a gateway.",
        validate=each_gateway(_is_placed_by_trusted_labels),
        severity=Severity.CRITICAL,
        remediation=f"Select gateway nodes by a label under {TRUSTED}.",
        source=_NODE_RESTRICTION,
    ),
    stack_rule(
        name="gateways-read-named-secrets-only",
        description="A gateway's Role names the Secrets that it may read.",
        validate=gateways_read_named_secrets,
        severity=Severity.HIGH,
        remediation="Add resourceNames to the rule about Secrets.",
        source="https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources",
    ),
    stack_rule(
        name="gateways-live-apart",
        description="Gateways have a namespace of their own.",
        validate=gateways_live_apart,
        severity=Severity.MEDIUM,
        remediation="Give gateways a namespace that holds nothing else.",
        source="https://kubernetes.io/docs/concepts/security/rbac-good-practices/#workload-creation",
    ),
    stack_rule(
        name="hub-opens-listed-ports-only",
        description="Other regions reach the hub's nodes at the ports that a cluster needs.",
        validate=hub_opens_listed_ports,
        settings=[
            Setting(
                name="services",
                kind="array",
                meaning="What other regions may reach on the hub's nodes: the API server, ping, Cilium, Calico.",
                default=["tcp:6443", "icmp:*", "tcp:4240", "tcp:4244", "tcp:179", "tcp:5473"],
            )
        ],
        severity=Severity.HIGH,
        remediation="Write tcp:6443 and what the pod network needs as the grant's ip.",
        source="https://kubernetes.io/docs/reference/networking/ports-and-protocols/",
    ),
)
