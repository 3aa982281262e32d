"""
AWS security groups: whatever one of a machine's groups lets through passes. A group that the provider makes lets out
only what it is told (pulumi.com/registry/packages/aws/api-docs/ec2/securitygroup: "will remove this default rule").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pulumi_policy import PolicyResource

from .guards import ANYWHERE, Guard, Traffic, Unjudged, Verdict, everywhere, is_protocol, within
from .inputs import Props, rows, texts, written
from .known import (
    AWS_EGRESS,
    AWS_GROUP,
    AWS_GROUP_RULE,
    AWS_INGRESS,
    AWS_INSTANCE,
    AWS_INTERFACE,
    AWS_PREFIX_LIST,
)
from .machines import says_gateway, uses_tailscale, words_of

_SEPARATE = {AWS_INGRESS: "in", AWS_EGRESS: "out", AWS_GROUP_RULE: ""}


@dataclass(kw_only=True)
class AwsGuard(Guard):
    """The groups of one machine, or a group of gateways whose machines are made elsewhere."""

    groups: list[PolicyResource]
    rules: dict[str, list[PolicyResource]]

    def verdict(self, traffic: Traffic) -> Verdict:
        verdict = Verdict()
        for group in self.groups:
            asked = [(f"security group {group.name}", partial(_inline_opens, group, traffic))]
            asked += [(f"rule {rule.name}", partial(_rule_opens, rule, traffic)) for rule in self._of(group)]
            for owner, question in asked:
                answer = verdict.ask(owner, question)
                verdict.passes = verdict.passes or answer is True
        return verdict

    def _of(self, group: PolicyResource) -> list[PolicyResource]:
        return self.rules.get(group.urn, [])

    def remedy(self, traffic: Traffic) -> str:
        kind = {"in": "ingress", "out": "egress"}[traffic.direction]
        return (
            f"add an {kind} rule with protocol {traffic.protocol}, ports {traffic.port} to {traffic.port} and "
            f"{ANYWHERE} to security group {self.groups[0].name}"
        )


def aws_guards(resources: Sequence[PolicyResource], machines: Sequence[PolicyResource]) -> Iterator[AwsGuard]:
    """Guards of the gateways among the stack's machines, and of groups called gateway that no machine here is in."""
    rules: dict[str, list[PolicyResource]] = defaultdict(list)
    for resource in resources:
        if resource.resource_type in _SEPARATE:
            for owner in resource.property_dependencies.get("securityGroupId", []):
                rules[owner.urn].append(resource)
    used: set[str] = set()
    for machine in machines:
        if machine.resource_type == AWS_INSTANCE:
            groups = _groups_of(machine)
            used |= {group.urn for group in groups}
            if groups:
                yield AwsGuard(name=f"gateway {machine.name}", urn=machine.urn, groups=groups, rules=rules)
    tailscale = uses_tailscale(resources)
    for group in resources:
        named = group.resource_type == AWS_GROUP and group.urn not in used
        if named and says_gateway(words_of(group), tailscale=tailscale):
            yield AwsGuard(name=f"security group {group.name}", urn=group.urn, groups=[group], rules=rules)


def _groups_of(machine: PolicyResource) -> list[PolicyResource]:
    """By the engine's dependencies: the id of a group is not known before it exists."""
    found = list(machine.property_dependencies.get("vpcSecurityGroupIds", []))
    for owner in machine.property_dependencies.get("primaryNetworkInterface", []):
        if owner.resource_type == AWS_INTERFACE:
            found += owner.property_dependencies.get("securityGroups", [])
    return [group for group in found if group.resource_type == AWS_GROUP]


def _inline_opens(group: PolicyResource, traffic: Traffic) -> bool:
    key = {"in": "ingress", "out": "egress"}[traffic.direction]
    lists = _lists(group, key)
    return any(_opens(rule, traffic, lists) for rule in rows(group.props, key))


def _rule_opens(rule: PolicyResource, traffic: Traffic) -> bool:
    direction = _SEPARATE[rule.resource_type] or {"ingress": "in", "egress": "out"}.get(
        str(rule.props.get("type")), ""
    )
    lists = [*_lists(rule, "prefixListId"), *_lists(rule, "prefixListIds")]
    return direction == traffic.direction and _opens(rule.props, traffic, lists)


def _lists(resource: PolicyResource, key: str) -> list[PolicyResource]:
    found = resource.property_dependencies.get(key, [])
    return [owner for owner in found if owner.resource_type == AWS_PREFIX_LIST]


def _opens(rule: Props, traffic: Traffic, lists: Sequence[PolicyResource]) -> bool:
    protocol = rule.get("ipProtocol") or rule.get("protocol")
    if not is_protocol(protocol, traffic):
        return False
    # Of every protocol is of every port, whatever the ports say.
    every = str(protocol).lower() in ("-1", "all")
    if not every and not within(traffic.port, rule.get("fromPort"), rule.get("toPort")):
        return False
    ranges: list[Any] = [*texts(rule, "cidrBlocks"), rule.get("cidrIpv4")]
    if not lists:
        # A list of another stack may hold anything.
        foreign = [*texts(rule, "prefixListIds"), *texts(rule, "prefixListId")]
        if foreign and not everywhere(ranges):
            raise Unjudged(
                f"prefix list {foreign[0]} is not of this stack. Write cidrIpv4: {ANYWHERE} instead."
            )
    entries = (entry for each in lists for entry in rows(each.props, "entries"))
    # The id of a list that is just being made is not known, but somebody wrote it.
    has_list = written(rule, "prefixListId") or written(rule, "prefixListIds")
    listed = [entry.get("cidr") for entry in entries] if has_list else []
    return everywhere([*ranges, *listed])
