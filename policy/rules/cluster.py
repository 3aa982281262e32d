"""Risk: a pod network that works in one place and not over several: nested overlays, wrong devices, wrong versions."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

from pulumi_policy import Policy, Severity, StackValidationArgs

from .cni import calico_marks, charts, devices, installed, overlays
from .compatibility import (
    CLASHES,
    SEVERAL_GATEWAYS,
    SEVERAL_GATEWAYS_SOURCE,
    TAILSCALE_MARKS,
    Clash,
    Version,
    image_version,
    numbers,
)
from .gateways import Gateway, Stack, stack_of
from .inputs import number
from .judging import each_gateway
from .manifests import at, known
from .regions import regions_of
from .rule import Report, stack_rule, what

_CILIUM_ROUTING = "https://docs.cilium.io/en/v1.18/network/concepts/routing/"


def no_nested_overlay(args: StackValidationArgs, report: Report) -> None:
    """Only where there are gateways: between them WireGuard already wraps each packet once."""
    stack = stack_of(args.resources)
    for overlay in overlays(stack) if stack.gateways else ():
        if overlay.wraps:
            got = f"is {overlay.got}" if overlay.got else "is not given, and the default wraps packets"
            report(
                f"{overlay.place}: {got}, so packets between regions are wrapped twice and lose size, speed and, "
                f"on relayed links, their steady pace. Write {overlay.wanted}.",
                overlay.urn,
            )


def cilium_is_explicit(args: StackValidationArgs, report: Report) -> None:
    """What Cilium finds out by itself, it finds out wrong beside tailscale0."""
    stack = stack_of(args.resources)
    for resource, values in charts(stack, "cilium") if stack.gateways else ():
        with report.judging(what(resource), resource.urn):
            for fault in (*_device_faults(values), *_range_faults(stack, values)):
                report(f"{what(resource)}: {fault}", resource.urn)


def _device_faults(values: Any) -> Iterator[str]:
    named = devices(at(values, "devices"))
    if not named or "tailscale0" in named:
        got = "names tailscale0" if named else "is not given, so Cilium takes tailscale0 within seconds"
        yield f"devices {got}. Write the LAN's interface, such as devices: eth0."
    if not number(at(values, "MTU")):
        yield "MTU is not given, so pods may get tailscale0's 1280. Write the LAN's, such as MTU: 1500."
    if at(values, "autoDirectNodeRoutes") and not at(values, "directRoutingSkipUnreachable"):
        yield (
            "autoDirectNodeRoutes without directRoutingSkipUnreachable fails at the first node of another region. "
            "Write directRoutingSkipUnreachable: true."
        )


def _range_faults(stack: Stack, values: Any) -> Iterator[str]:
    native = at(values, "ipv4NativeRoutingCIDR")
    if not native:
        yield (
            "ipv4NativeRoutingCIDR is not given, so other regions see translated addresses. Write the range that "
            "holds the pods of every region."
        )
        return
    inside = IPv4Network(str(native), strict=False)
    outside = [each for each in regions_of(stack) if each.pods and not each.pods.subnet_of(inside)]
    if outside:
        names = ", ".join(f"{region.name} ({region.pods})" for region in outside)
        yield (
            f"ipv4NativeRoutingCIDR {native} does not hold the pods of {names}, so their addresses are translated. "
            "Write one range around all of them."
        )


def _runs_one_version(gateway: Gateway, report: Report) -> None:
    image = str(at(gateway.container, "image"))
    if image_version(image) is None:
        report(
            f"{gateway}: image {image} names no version, so a restart may bring another one, and which ones go with a "
            "pod network is known by version. Write a full one, such as ghcr.io/tailscale/tailscale:v1.102.3.",
            gateway.urn,
        )


def versions_go_together(args: StackValidationArgs, report: Report) -> None:
    """The table of compatibility.py, against the pod networks that this stack installs."""
    stack = stack_of(args.resources)
    for gateway in stack.gateways:
        with report.judging(str(gateway), gateway.urn):
            version = image_version(str(at(gateway.container, "image")))
            for clash in CLASHES if version else ():
                if version and _happens(clash, gateway, version, stack):
                    report(
                        f"{gateway}: Tailscale {_dotted(version)} {clash.effect}, see {clash.source}. "
                        f"To mend it, {clash.remedy}.",
                        gateway.urn,
                    )


def _happens(clash: Clash, gateway: Gateway, version: Version, stack: Stack) -> bool:
    if not clash.concerns(version):
        return False
    if clash.cni is None:
        return any(installed(stack, name) for name in ("cilium", "calico", "flannel"))
    if not installed(stack, clash.cni) or _in_other_mode(clash, gateway):
        return False
    values = [each for _, each in charts(stack, clash.cni)]
    return not (values and all(clash.avoided_by(each) for each in values))


def _in_other_mode(clash: Clash, gateway: Gateway) -> bool:
    """`auto` may choose either."""
    mode = gateway.setting("TS_DEBUG_FIREWALL_MODE")
    return clash.mode is not None and mode is not None and mode.text not in (clash.mode, "auto", None)


def calico_leaves_marks(args: StackValidationArgs, report: Report) -> None:
    """Every version of Tailscale marks packets in these bits, in both firewall modes."""
    stack = stack_of(args.resources)
    if not stack.gateways or not installed(stack, "calico"):
        return
    masks = calico_marks(stack)
    taken = [mask for mask in masks if mask & TAILSCALE_MARKS]
    if masks and not taken:
        return
    got = f"uses the packet marks {taken[0]:#x}" if taken else "uses its default packet marks, 0xffff0000"
    report(
        f"Calico {got}, and Tailscale's are {TAILSCALE_MARKS:#x}: each takes the other's packets for its own. Write a "
        "FelixConfiguration with iptablesMarkMask: 0xff000000.",
        stack.gateways[0].urn,
    )


def several_gateways_are_new_enough(args: StackValidationArgs, report: Report) -> None:
    """Prefixes inside each other are two gateways of one region that both carry traffic."""
    old: list[tuple[Gateway, list[IPv4Network], str]] = []
    for gateway in stack_of(args.resources).gateways:
        with report.judging(str(gateway), gateway.urn):
            version = image_version(str(known(gateway.container, "image")))
            if version and version < numbers(SEVERAL_GATEWAYS):
                old += [(gateway, routes.prefixes, _dotted(version)) for routes in gateway.routes]
    for (gateway, prefixes, ran), (other, theirs, _) in combinations(old, 2):
        if any(one != two and one.overlaps(two) for one in prefixes for two in theirs):
            report(
                f"{gateway} and {other}: share a region, and Tailscale {ran} drops what any gateway but the "
                f"primary sends. Write an image of {SEVERAL_GATEWAYS} or later.",
                gateway.urn,
            )


def _dotted(version: Version) -> str:
    return ".".join(str(part) for part in version)


RULES: tuple[Policy, ...] = (
    stack_rule(
        name="no-nested-overlay",
        description="Pods' packets between regions are wrapped once, by WireGuard.",
        validate=no_nested_overlay,
        severity=Severity.HIGH,
        remediation="Write routingMode: native (Cilium), encapsulation: None (Calico) or host-gw (Flannel).",
        source="https://github.com/tailscale/tailscale/issues/11026",
    ),
    stack_rule(
        name="cilium-is-explicit",
        description="Cilium is told its devices, its MTU and the range that it routes natively.",
        validate=cilium_is_explicit,
        severity=Severity.HIGH,
        remediation="Write devices, MTU, ipv4NativeRoutingCIDR and directRoutingSkipUnreachable in the chart's values.",
        source=_CILIUM_ROUTING,
    ),
    stack_rule(
        name="gateways-run-one-version",
        description="Gateways name the version of Tailscale that they run.",
        validate=each_gateway(_runs_one_version),
        severity=Severity.MEDIUM,
        remediation="Write a full version as the image's tag.",
        source="https://tailscale.com/kb/1282/docker",
    ),
    stack_rule(
        name="tailscale-and-cni-go-together",
        description="No gateway runs a version of Tailscale that disturbs the pod network beside it.",
        validate=versions_go_together,
        severity=Severity.HIGH,
        remediation="Write a version of Tailscale, or a setting of the pod network, that avoids the clash.",
        source="https://github.com/tailscale/tailscale/issues/11803",
    ),
    stack_rule(
        name="calico-leaves-tailscale-its-marks",
        description="Calico marks packets in other bits than Tailscale does.",
        validate=calico_leaves_marks,
        severity=Severity.HIGH,
        remediation="Write a FelixConfiguration with iptablesMarkMask: 0xff000000.",
        source="https://github.com/tailscale/tailscale/issues/591",
    ),
    stack_rule(
        name="several-gateways-are-new-enough",
        description="Where two gateways share a region, both run a version that lets both send.",
        validate=several_gateways_are_new_enough,
        severity=Severity.CRITICAL,
        remediation=f"Write an image of Tailscale {SEVERAL_GATEWAYS} or later.",
        source=SEVERAL_GATEWAYS_SOURCE,
    ),
)
