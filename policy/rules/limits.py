"""Risk: more than was agreed on. Ceilings are a stack's settings; without one a rule has nothing to say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pulumi_policy import PolicyResource, ResourceValidationArgs, Severity, StackValidationArgs

from .gpu_machines import GpuMachines, gpu_machines
from .inputs import number
from .known import GCP_CLUSTER, GCP_NODE_POOL, REGION_TYPES, TAILNET_KEY
from .rule import Report, Setting, resource_rule, stack_rule, what

# Addresses of a node's pod range that no pod gets: network, broadcast and the bridge.
_NOT_FOR_PODS = 3
_CONFIGURE = "or raise {setting} in policy/config.<stack>.json, for all reviewers to see"


def devices_within_limit(args: StackValidationArgs, report: Report) -> None:
    """
    Devices that the regions declare; in a stack without regions one for each key, as a key for one use makes one. A
    reusable key makes any number, so its devices cannot be counted.
    """
    most = report.settings["max_devices"]
    if most is None:
        return
    declared = list(_regions(args, report, "devices"))
    if declared:
        counts = [f"region {region.name} {count:g}" for region, count in declared]
        total = sum(count for _, count in declared)
    else:
        keys = [resource for resource in args.resources if resource.resource_type == TAILNET_KEY]
        for key in keys:
            with report.judging(what(key), key.urn):
                if key.props.get("reusable"):
                    report(
                        f"{what(key)}: is reusable, so nobody can count its devices. Write reusable: false and one key "
                        "for each device.",
                        key.urn,
                    )
        counts, total = [f"keys {len(keys)}"], len(keys)
    if total > most:
        report(
            f"tailnet: {total:g} devices ({', '.join(counts)}), the limit is {most:g}. Remove gateways, write mode: "
            f"gateway for regions whose machines are devices of their own, {_CONFIGURE.format(setting='max_devices')}."
        )


def pods_per_node_within_limit(args: ResourceValidationArgs, report: Report) -> None:
    most = report.settings["max_pods"]
    if args.resource_type in REGION_TYPES:
        pods, addresses = number(args.props.get("podsPerNode")), number(args.props.get("podAddressesPerNode"))
        field = "node_pod_prefix"
    else:
        field = "defaultMaxPodsPerNode" if args.resource_type == GCP_CLUSTER else "maxPodsPerNode"
        pods, addresses = number(args.props.get(field)), None
    if pods is not None and pods > most:
        report(
            f"{what(args)}: {pods} pods on a node, the limit is {most:g}. Write {most:g} at most, "
            f"{_CONFIGURE.format(setting='max_pods')}."
        )
    if pods is not None and addresses is not None and pods > addresses - _NOT_FOR_PODS:
        report(
            f"{what(args)}: a node may run {pods} pods and has {addresses} addresses for them: the last never start. "
            f"Write a shorter {field}, such as 24, under kubernetes in the stack file."
        )


def price_within_ceiling(args: StackValidationArgs, report: Report) -> None:
    """
    The price of GPUs: of the regions, and of other machines with GPUs by the stack's own list. A price that nobody
    knows is not zero.
    """
    most = report.settings["max_usd_per_hour"]
    if most is None:
        return
    total, parts = 0.0, []
    for region in _of(args, *REGION_TYPES):
        with report.judging(what(region), region.urn):
            gpus, price = number(region.props.get("gpus")), region.props.get("usdPerHour")
            if gpus and price is None:
                report(
                    f"region {region.name}: nobody knows the price of its {gpus} GPUs. Write usd_per_hour under gpu.",
                    region.urn,
                )
            elif price:
                total += float(price)
                parts.append(f"region {region.name} {float(price):.2f}")
    for resource, machines in _others(args, report):
        price = (report.settings["machine_prices"] or {}).get(machines.machine_type)
        if price is None:
            report(
                f"{what(resource)}: nobody knows the price of a {machines.machine_type}. Write machine_prices: "
                f'{{"{machines.machine_type}": USD an hour}} for this rule in policy/config.<stack>.json.',
                resource.urn,
            )
            continue
        total += float(price) * machines.machines
        parts.append(f"{resource.name} {float(price) * machines.machines:.2f}")
    if total > most:
        report(
            f"the stack: {total:.2f} USD an hour ({', '.join(parts)}), the ceiling is {most:.2f}. Remove machines, "
            f"{_CONFIGURE.format(setting='max_usd_per_hour')}."
        )


def gpus_within_ceiling(args: StackValidationArgs, report: Report) -> None:
    most = report.settings["max_gpus"]
    if most is None:
        return
    counts = [(f"region {region.name}", count) for region, count in _regions(args, report, "gpus")]
    counts += [
        (resource.name, float(machines.gpus_each * machines.machines))
        for resource, machines in _others(args, report)
    ]
    total = sum(count for _, count in counts)
    if total > most:
        parts = ", ".join(f"{name} {count:g}" for name, count in counts if count)
        report(
            f"the stack: {total:g} GPUs ({parts}), the ceiling is {most:g}. Remove machines, "
            f"{_CONFIGURE.format(setting='max_gpus')}."
        )


def _of(args: StackValidationArgs, *types: str) -> Iterator[PolicyResource]:
    return (resource for resource in args.resources if resource.resource_type in types)


def _regions(args: StackValidationArgs, report: Report, key: str) -> Iterator[tuple[PolicyResource, float]]:
    """A number that regions declare of themselves; one that does not is not counted as none."""
    for region in _of(args, *REGION_TYPES):
        with report.judging(what(region), region.urn):
            yield region, float(region.props[key])


def _others(args: StackValidationArgs, report: Report) -> Iterator[tuple[PolicyResource, GpuMachines]]:
    for resource in args.resources:
        with report.judging(what(resource), resource.urn):
            found = gpu_machines(resource)
            if found is not None:
                yield resource, found


def _ceiling(name: str, meaning: str, kind: str = "integer", default: Any = None) -> Setting:
    return Setting(name=name, kind=kind, meaning=meaning, default=default, minimum=0)


DEVICES = stack_rule(
    name="devices-within-limit",
    description="The tailnet has no more devices than its plan allows.",
    validate=devices_within_limit,
    severity=Severity.MEDIUM,
    remediation="Fewer gateways, or mode: gateway where machines are devices of their own, or a larger plan.",
    source="https://tailscale.com/pricing",
    settings=[_ceiling("max_devices", "Devices that the tailnet's plan allows.")],
)

PODS = resource_rule(
    name="pods-per-node-within-limit",
    description="A node runs no more pods than Kubernetes is tested with, nor than it has addresses for.",
    types=[*REGION_TYPES, GCP_CLUSTER, GCP_NODE_POOL],
    validate=pods_per_node_within_limit,
    severity=Severity.MEDIUM,
    remediation="Write fewer pods a node, or a shorter node_pod_prefix.",
    source="https://kubernetes.io/docs/setup/best-practices/cluster-large/",
    settings=[_ceiling("max_pods", "Most pods on one node.", default=110)],
)

PRICE = stack_rule(
    name="price-within-ceiling",
    description="The stack's GPUs cost no more an hour than agreed.",
    validate=price_within_ceiling,
    severity=Severity.MEDIUM,
    remediation="Remove machines or raise max_usd_per_hour for the stack.",
    source="https://www.pulumi.com/docs/insights/policy/policy-packs/configuration/",
    settings=[
        _ceiling("max_usd_per_hour", "US dollars an hour for all GPUs of the stack.", "number"),
        Setting(
            name="machine_prices",
            kind="object",
            meaning="US dollars an hour by machine type, for GPU machines outside the stack's regions.",
        ),
    ],
)

GPUS = stack_rule(
    name="gpus-within-ceiling",
    description="The stack has no more GPUs than agreed.",
    validate=gpus_within_ceiling,
    severity=Severity.MEDIUM,
    remediation="Remove machines or raise max_gpus for the stack.",
    source="https://www.pulumi.com/docs/insights/policy/policy-packs/configuration/",
    settings=[_ceiling("max_gpus", "GPUs of all machines of the stack.")],
)

RULES = (DEVICES, PODS, PRICE, GPUS)
