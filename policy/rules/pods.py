"""Gateways that are pods: what a firewall opens reaches them only on the host's network and at a fixed port."""

from __future__ import annotations

import re

from pulumi_policy import Severity

from .gateways import Gateway
from .guards import WIREGUARD_IN
from .judging import each_gateway
from .manifests import at
from .rule import Report, stack_rule

_FLAG = re.compile(r"--port[= ](?P<port>\d+)")


def _uses_host_network(gateway: Gateway, report: Report) -> None:
    if at(gateway.workload.pod, "hostNetwork") is not True:
        report(
            f"{gateway}: is not on its host's network, so it forwards nothing of the host's pods and its port is not "
            "the host's. Write hostNetwork: true in the pod's spec.",
            gateway.urn,
        )


def _has_the_port(gateway: Gateway, report: Report) -> None:
    """Without PORT or --port tailscaled takes a random one on Linux (tailscale cmd/tailscaled, defaultPort)."""
    setting, extra = gateway.setting("PORT"), gateway.setting("TS_TAILSCALED_EXTRA_ARGS")
    flag = _FLAG.search(extra.text) if extra and extra.text else None
    text = flag.group("port") if flag else setting.text if setting else ""
    if text != str(WIREGUARD_IN.port):
        got = (
            f"is {text or 'known only where it runs'}"
            if flag or setting
            else "is not set, so tailscaled takes any"
        )
        report(
            f"{gateway}: PORT {got}, and firewalls open {WIREGUARD_IN}: peers fall back to a relay. Write PORT with "
            f'the value "{WIREGUARD_IN.port}" in the container\'s env.',
            gateway.urn,
        )


RULES = (
    stack_rule(
        name="gateway-pods-use-the-host-network",
        description="A gateway that is a pod is on its host's network.",
        validate=each_gateway(_uses_host_network),
        severity=Severity.HIGH,
        remediation="Write hostNetwork: true in the spec of the gateway's pod.",
        source="https://tailscale.com/kb/1185/kubernetes",
    ),
    stack_rule(
        name="gateway-pods-have-the-open-port",
        description="A gateway that is a pod listens at UDP 41641.",
        validate=each_gateway(_has_the_port),
        severity=Severity.HIGH,
        remediation='Write PORT: "41641" in the env of the gateway\'s container.',
        source="https://github.com/tailscale/tailscale/blob/v1.102.3/cmd/tailscaled/tailscaled.go",
    ),
)
