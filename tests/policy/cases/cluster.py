"""Cases of the rules about pod networks beside gateways."""

from __future__ import annotations

from typing import Any

from pulumi_policy import PolicyResource

from tests.policy.judge import UNKNOWN, Cases, case, resource
from tests.policy.workloads import ADDRESSES, FLAGS, HUB_ROUTES, config_map, edited, machine, pod

IMAGE = ("spec", "containers", 0, "image")
GOOD: dict[str, Any] = {
    "routingMode": "native",
    "ipv4NativeRoutingCIDR": "10.128.0.0/9",
    "autoDirectNodeRoutes": True,
    "directRoutingSkipUnreachable": True,
    "devices": "eth0",
    "MTU": 1500.0,
    "l7Proxy": False,
}


def release(chart: str, values: dict[str, Any], kind: str = "v3:Release") -> PolicyResource:
    return resource(f"kubernetes:helm.sh/{kind}", chart, {"chart": chart, "values": values})


def cilium(**values: Any) -> PolicyResource:
    return release("cilium", {key: value for key, value in (GOOD | values).items() if value is not ...})


def calico(encapsulation: str | None) -> PolicyResource:
    pools = [{"cidr": "10.128.0.0/9", "encapsulation": encapsulation}] if encapsulation else []
    body = {"apiVersion": "operator.tigera.io/v1", "spec": {"calicoNetwork": {"ipPools": pools}}}
    return resource("kubernetes:operator.tigera.io/v1:Installation", "default", body)


def felix(mask: Any) -> PolicyResource:
    return resource(
        "kubernetes:projectcalico.org/v3:FelixConfiguration", "default", {"spec": {"iptablesMarkMask": mask}}
    )


def flannel(backend: str) -> PolicyResource:
    return config_map("kube-flannel-cfg", **{"net-conf.json": f'{{"Backend": {{"Type": "{backend}"}}}}'})


def calico_node(mode: str) -> PolicyResource:
    env = [{"name": "CALICO_IPV4POOL_IPIP", "value": mode}]
    body = {"spec": {"template": {"spec": {"containers": [{"name": "calico-node", "env": env}]}}}}
    return resource("kubernetes:apps/v1:DaemonSet", "calico-node", body)


def running(version: str, **variables: Any) -> PolicyResource:
    image = f"registry.example.com:5000/tailscale{version}"
    return machine(manifest=edited(pod(**variables), *IMAGE, to=image))


HALVES = "10.0.0.0/25,10.0.0.128/25"

CASES = {
    "no-nested-overlay": Cases(
        passes=[
            case(machine(), cilium()),
            case(machine(), calico("None"), calico_node("Never"), flannel("host-gw")),
            case(cilium(routingMode="tunnel"), calico("VXLAN")),
        ],
        refuses=[
            case(machine(), cilium(routingMode="tunnel"), said="value routingMode: is tunnel"),
            case(machine(), cilium(routingMode=...), said="is not given, and the default wraps packets"),
            case(
                machine(),
                release("oci://quay.io/cilium/charts/cilium", {}, "v4:Chart"),
                said="Write routingMode",
            ),
            case(machine(), config_map("cilium-config", tunnel="vxlan"), said="Write routing-mode: native"),
            case(machine(), calico("VXLANCrossSubnet"), said="pool 10.128.0.0/9: is VXLANCrossSubnet"),
            case(machine(), calico(None), said="Write encapsulation: None"),
            case(machine(), calico_node("Always"), said='CALICO_IPV4POOL_IPIP with the value "Never"'),
            case(machine(), flannel("vxlan"), said='Write "Backend": {"Type": "host-gw"}'),
            case(machine(), release("flannel", {}), said="Write flannel.backend: host-gw"),
            case(
                machine(),
                resource(
                    "kubernetes:crd.projectcalico.org/v1:IPPool", "p", {"spec": {"vxlanMode": "Always"}}
                ),
                said="Write vxlanMode: Never",
            ),
        ],
    ),
    "cilium-is-explicit": Cases(
        passes=[
            case(machine(), cilium(), ADDRESSES),
            case(cilium(devices=...)),
            case(machine(), cilium(devices=["eth+"])),
        ],
        refuses=[
            case(
                machine(),
                cilium(devices=...),
                said="so Cilium takes tailscale0 within seconds. Write the LAN's",
            ),
            case(machine(), cilium(devices="eth0 tailscale0"), said="devices names tailscale0"),
            case(machine(), cilium(MTU=...), said="such as MTU: 1500"),
            case(
                machine(),
                cilium(directRoutingSkipUnreachable=...),
                said="Write directRoutingSkipUnreachable: true",
            ),
            case(machine(), cilium(ipv4NativeRoutingCIDR=...), said="ipv4NativeRoutingCIDR is not given"),
            case(
                machine(),
                cilium(ipv4NativeRoutingCIDR="10.128.0.0/16"),
                ADDRESSES,
                said="does not hold the pods of gpu (10.129.0.0/16)",
            ),
            case(machine(), cilium(MTU=UNKNOWN), said="could not be judged, input values.MTU is not known"),
        ],
    ),
    "gateways-run-one-version": Cases(
        passes=[case(machine()), case(running(":v1.102.3@sha256:" + "a" * 64))],
        refuses=[
            case(running(":latest"), said="tailscale:latest names no version"),
            case(running(""), said="Write a full one, such as ghcr.io/tailscale/tailscale:v1.102.3"),
            case(running(":v1.98"), said="v1.98 names no version"),
        ],
    ),
    "tailscale-and-cni-go-together": Cases(
        passes=[
            case(machine(), cilium()),
            case(running(":v1.84.3", TS_DEBUG_FIREWALL_MODE="iptables"), cilium()),
            case(running(":v1.84.3")),
            case(running(":v1.97.0")),
        ],
        refuses=[
            case(running(":v1.84.3"), cilium(), said="Tailscale 1.84.3 marks packets 0x400, Cilium's mark"),
            case(running(":v1.84.3", TS_DEBUG_FIREWALL_MODE="auto"), cilium(), said="issues/11803"),
            case(
                running(":v1.97.0"),
                flannel("host-gw"),
                said="Tailscale 1.97.0 restores connection marks over",
            ),
            case(machine(), cilium(l7Proxy=...), said="write l7Proxy: false in Cilium's values"),
        ],
    ),
    "calico-leaves-tailscale-its-marks": Cases(
        passes=[case(machine(), calico("None"), felix(0xFF000000)), case(calico("None")), case(machine())],
        refuses=[
            case(machine(), calico("None"), said="uses its default packet marks"),
            case(machine(), calico("None"), felix("0xffff0000"), said="Write a FelixConfiguration"),
            case(machine(), calico("None"), felix(float(0xFF0000)), said="uses the packet marks 0xff0000"),
        ],
    ),
    "several-gateways-are-new-enough": Cases(
        passes=[
            case(machine("a", TS_ROUTES=HUB_ROUTES), machine("b", TS_ROUTES=HALVES)),
            case(running(":v1.84.3", TS_ROUTES=HUB_ROUTES), running(":v1.84.3")),
        ],
        refuses=[
            case(
                running(":v1.84.3", TS_ROUTES=HUB_ROUTES),
                running(":v1.98.9", TS_ROUTES=HALVES, TS_EXTRA_ARGS=FLAGS),
                said="Tailscale 1.84.3 drops what any gateway but the primary sends. Write an image of 1.98.10",
            )
        ],
    ),
}
