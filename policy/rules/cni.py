"""Which pod networks a stack installs and how: charts, operators' objects, DaemonSets and their ConfigMaps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pulumi_policy import PolicyResource

from .gateways import Stack
from .manifests import Object, at, items, known, mappings
from .rule import what

Name = Literal["cilium", "calico", "flannel"]
# Releases and charts name their chart and values alike (pulumi_kubernetes: helm/v3/Release.py, helm/v4/Chart.py).
CHARTS = ("kubernetes:helm.sh/v3:Release", "kubernetes:helm.sh/v4:Chart")
_CHART_OF: dict[str, Name] = {"cilium": "cilium", "tigera-operator": "calico", "flannel": "flannel"}


@dataclass(frozen=True)
class Overlay:
    """A setting that decides whether pods' packets are wrapped: what was got (None: the default) and what to write."""

    place: str
    got: str | None
    wanted: str
    wraps: bool
    urn: str


def charts(stack: Stack, name: Name) -> Iterator[tuple[PolicyResource, Mapping[str, Any]]]:
    """The releases of a CNI's chart with their values; the chart may be written as a path or an OCI address."""
    for resource in stack.resources:
        if resource.resource_type in CHARTS:
            chart = str(known(resource.props, "chart") or "").rstrip("/").rpartition("/")[2]
            if _CHART_OF.get(chart) == name:
                yield resource, at(resource.props, "values") or {}


def installed(stack: Stack, name: Name) -> bool:
    """Whether a stack brings this CNI, as a chart or as objects."""
    words = {"cilium": "cilium-config", "flannel": "kube-flannel-cfg", "calico": "calico-config"}
    return (
        any(True for _ in charts(stack, name))
        or any(item.name == words[name] for item in stack.of("ConfigMap"))
        or (name == "calico" and any(True for _ in stack.of("Installation")))
    )


def overlays(stack: Stack) -> Iterator[Overlay]:
    """Every place of a stack where a CNI is told to wrap packets or not to."""
    yield from _of_cilium(stack)
    yield from _of_calico(stack)
    yield from _of_flannel(stack)


def _of_cilium(stack: Stack) -> Iterator[Overlay]:
    wanted = "routingMode: native"
    for resource, values in charts(stack, "cilium"):
        mode = at(values, "routingMode")
        yield Overlay(
            f"{what(resource)}, value routingMode", _text(mode), wanted, mode != "native", resource.urn
        )
    for item in stack.of("ConfigMap"):
        if item.name == "cilium-config":
            mode = at(item.body, "data", "routing-mode")
            yield Overlay(
                f"{item}, routing-mode", _text(mode), "routing-mode: native", mode != "native", item.urn
            )


def _of_calico(stack: Stack) -> Iterator[Overlay]:
    """The operator's default encapsulation is IPIP, calico-node's is what its environment says."""
    for resource, values in charts(stack, "calico"):
        network = at(values, "installation", "calicoNetwork")
        yield from _pools(network, f"{what(resource)}, value installation", resource.urn)
    for item in stack.of("Installation"):
        if str(known(item.body, "apiVersion") or "").startswith("operator.tigera.io/"):
            yield from _pools(at(item.body, "spec", "calicoNetwork"), str(item), item.urn)
    for item in stack.of("IPPool"):
        for field in ("ipipMode", "vxlanMode"):
            mode = at(item.body, "spec", field) or "Never"
            yield Overlay(f"{item}, {field}", _text(mode), f"{field}: Never", mode != "Never", item.urn)
    for item in stack.of("DaemonSet"):
        yield from _variables(item)


def _pools(network: Any, place: str, urn: str) -> Iterator[Overlay]:
    pools = list(mappings(at(network, "ipPools"))) or [{}]
    for pool in pools:
        mode = at(pool, "encapsulation")
        where = f"{place}, encapsulation of pool {at(pool, 'cidr') or 'by default'}"
        yield Overlay(where, _text(mode), "encapsulation: None", mode != "None", urn)


def _variables(item: Object) -> Iterator[Overlay]:
    for container in mappings(known(item.pod, "containers")):
        for row in mappings(at(container, "env")):
            name = known(row, "name")
            if name in ("CALICO_IPV4POOL_IPIP", "CALICO_IPV4POOL_VXLAN"):
                mode = str(at(row, "value"))
                yield Overlay(
                    f"{item}, {name}", mode, f'{name} with the value "Never"', mode != "Never", item.urn
                )


def _of_flannel(stack: Stack) -> Iterator[Overlay]:
    for resource, values in charts(stack, "flannel"):
        mode = at(values, "flannel", "backend")
        place = f"{what(resource)}, value flannel.backend"
        yield Overlay(place, _text(mode), "flannel.backend: host-gw", mode != "host-gw", resource.urn)
    for item in stack.of("ConfigMap"):
        text = at(item.body, "data", "net-conf.json")
        if item.name == "kube-flannel-cfg" and text is not None:
            mode = at(json.loads(str(text)), "Backend", "Type")
            wanted = '"Backend": {"Type": "host-gw"}'
            yield Overlay(f"{item}, net-conf.json", _text(mode), wanted, mode != "host-gw", item.urn)


def calico_marks(stack: Stack) -> list[int]:
    """The packet marks that Calico may use, where FelixConfiguration says so."""
    found: list[int] = []
    for item in stack.of("FelixConfiguration"):
        for field in ("iptablesMarkMask", "nftablesMarkMask"):
            value = at(item.body, "spec", field)
            if value is not None:
                found.append(value if isinstance(value, int) else int(str(value).split(".")[0], 0))
    return found


def devices(value: Any) -> list[str]:
    """Cilium's `devices`, a list or names with blanks between."""
    return value.split() if isinstance(value, str) else [str(item) for item in items(value)]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
