"""Risk: a gateway that does not come back: it needs the API server that it provides, or a key."""

from __future__ import annotations

from typing import Any

from pulumi_policy import Policy, PolicyResource, Severity, StackValidationArgs

from .cni import CHARTS
from .gateways import Gateway, Stack, stack_of
from .inputs import number
from .judging import each_gateway
from .manifests import Object, at, known, mappings
from .regions import hub_of, regions_of
from .rule import Report, stack_rule, what

_CONTAINERBOOT = "https://github.com/tailscale/tailscale/blob/v1.102.3/cmd/containerboot/main.go"
_SKIP = "pulumi.com/skipAwait"
_TIMEOUT = "pulumi.com/timeoutSeconds"
# Charts that put a pod on every machine.
_EVERYWHERE = frozenset(
    (
        "cilium",
        "tigera-operator",
        "flannel",
        "nvidia-device-plugin",
        "gpu-operator",
        "prometheus-node-exporter",
    )
)
# Where the clouds say what their groups of nodes run (pulumi_gcp: NodePool, pulumi_aws: eks NodeGroup).
_SYSTEMS = (("nodeConfig", "imageType"), ("amiType",))


def _keeps_state_where_it_can_reach_it(gateway: Gateway, report: Report) -> None:
    """Outside the hub the API server is behind the gateway, so its identity must not be kept there."""
    if not gateway.workload.static and not _runs_elsewhere(gateway):
        return
    secret = gateway.setting("TS_KUBE_SECRET")
    if secret is None or secret.text != "":
        got = f"is {secret.text or 'not empty'}" if secret else "is not set, and its default is a Secret"
        report(
            f"{gateway}: TS_KUBE_SECRET {got}, so after a restart containerboot waits for the API server that it is "
            'meant to provide. Write TS_KUBE_SECRET with the value "" and TS_STATE_DIR on a hostPath.',
            gateway.urn,
        )
    directory = gateway.setting("TS_STATE_DIR")
    if directory is None or not _on_host(gateway, directory.text or ""):
        got = f"{directory.text} is on no hostPath" if directory else "is not set"
        report(
            f"{gateway}: TS_STATE_DIR {got}, so every restart is a new device that needs a new key. Write a "
            "TS_STATE_DIR that a hostPath volume is mounted at.",
            gateway.urn,
        )


def _runs_elsewhere(gateway: Gateway) -> bool:
    """Whether its selector names a region that is not the hub."""
    regions = regions_of(gateway.stack)
    hub = hub_of(gateway.stack, regions)
    chosen = set((known(gateway.workload.pod, "nodeSelector") or {}).values())
    return hub is not None and any(region.name in chosen for region in regions if region is not hub)


def _on_host(gateway: Gateway, directory: str) -> bool:
    for mount in mappings(at(gateway.container, "volumeMounts")):
        path = str(at(mount, "mountPath")).rstrip("/")
        if f"{directory}/".startswith(f"{path}/"):
            volumes = mappings(at(gateway.workload.pod, "volumes"))
            return any(
                at(volume, "name") == at(mount, "name") and at(volume, "hostPath") is not None
                for volume in volumes
            )
    return False


def _logs_in_once(gateway: Gateway, report: Report) -> None:
    once = gateway.setting("TS_AUTH_ONCE")
    if once is None or (once.text or "").lower() not in ("true", "1"):
        got = f"is {once.text}" if once else "is not set, and its default is false"
        report(
            f"{gateway}: TS_AUTH_ONCE {got}, so every restart needs a key that is still good. Write TS_AUTH_ONCE with "
            'the value "true".',
            gateway.urn,
        )


def _restarts_one_at_a_time(gateway: Gateway, report: Report) -> None:
    rolling = at(gateway.workload.body, "spec", "updateStrategy", "rollingUpdate")
    if gateway.workload.kind != "DaemonSet" or rolling is None:
        return
    most, surge = at(rolling, "maxUnavailable"), at(rolling, "maxSurge")
    if most is not None and number(most) != 1:
        report(
            f"{gateway}: maxUnavailable is {most}, so an update may stop all gateways of a region at once. Write "
            "maxUnavailable: 1.",
            gateway.urn,
        )
    if surge not in (None, 0, "0", "0%"):
        report(
            f"{gateway}: maxSurge is {surge}, and two gateways on one machine want the same port and the same state. "
            "Remove maxSurge.",
            gateway.urn,
        )


def gateways_run_on_linux(args: StackValidationArgs, report: Report) -> None:
    """Only a Linux machine can be a router for others; demanded where the stack has or asks for Windows nodes."""
    stack = stack_of(args.resources)
    windows = _windows(stack)
    for gateway in stack.gateways:
        with report.judging(str(gateway), gateway.urn):
            system = (at(gateway.workload.pod, "nodeSelector") or {}).get("kubernetes.io/os")
            if system == "windows" or (windows and system != "linux" and not gateway.workload.static):
                got = "selects windows" if system else f"may be placed on Windows nodes ({windows})"
                report(
                    f"{gateway}: {got}, and a subnet router with kernel routes runs on Linux. Write nodeSelector "
                    "kubernetes.io/os: linux.",
                    gateway.urn,
                )


def _windows(stack: Stack) -> str:
    """The first group of Windows nodes; empty if there is none."""
    for resource in stack.resources:
        if any("windows" in str(known(resource.props, *path) or "").lower() for path in _SYSTEMS):
            return what(resource)
    return ""


def no_rollout_waits_for_dead_machines(args: StackValidationArgs, report: Report) -> None:
    """Where machines of others are nodes, one that is off must not fail every update."""
    stack = stack_of(args.resources)
    if not stack.gateways:
        return
    for item in stack.of("DaemonSet"):
        if not item.on_machine and "helm.sh/v4:Chart$" not in item.urn:
            with report.judging(str(item), item.urn):
                _report_waiting(item, report)
    for resource in stack.resources:
        if resource.resource_type in CHARTS:
            with report.judging(what(resource), resource.urn):
                _report_waiting_chart(resource, report)


def _report_waiting(item: Object, report: Report) -> None:
    annotations: Any = at(item.body, "metadata", "annotations") or {}
    bounded = annotations.get(_TIMEOUT) and at(item.pod, "nodeSelector")
    if str(annotations.get(_SKIP)).lower() != "true" and not bounded:
        report(
            f"{item}: the update waits until its pod is ready on every machine, also on one that is off, for ten "
            f'minutes. Add the annotation {_SKIP}: "true", or a nodeSelector and {_TIMEOUT}.',
            item.urn,
        )


def _report_waiting_chart(resource: PolicyResource, report: Report) -> None:
    chart = str(at(resource.props, "chart") or "").rstrip("/").rpartition("/")[2]
    if chart in _EVERYWHERE and not at(resource.props, "skipAwait"):
        report(
            f"{what(resource)}: chart {chart} puts a pod on every machine, and the update waits for one that is off. "
            "Write skipAwait: true.",
            resource.urn,
        )


RULES: tuple[Policy, ...] = (
    stack_rule(
        name="gateways-keep-their-state-at-hand",
        description="A gateway outside the hub needs no API server to come back.",
        validate=each_gateway(_keeps_state_where_it_can_reach_it),
        severity=Severity.CRITICAL,
        remediation='Write TS_KUBE_SECRET with the value "" and TS_STATE_DIR on a hostPath.',
        source=_CONTAINERBOOT,
    ),
    stack_rule(
        name="gateways-log-in-once",
        description="A gateway that restarts needs no key.",
        validate=each_gateway(_logs_in_once),
        severity=Severity.HIGH,
        remediation='Write TS_AUTH_ONCE with the value "true".',
        source="https://tailscale.com/kb/1282/docker#ts_auth_once",
    ),
    stack_rule(
        name="gateways-restart-one-at-a-time",
        description="An update leaves a region the other gateway.",
        validate=each_gateway(_restarts_one_at_a_time),
        severity=Severity.HIGH,
        remediation="Write maxUnavailable: 1 and no maxSurge in the DaemonSet's updateStrategy.",
        source="https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/",
    ),
    stack_rule(
        name="gateways-run-on-linux",
        description="Gateways run on Linux nodes.",
        validate=gateways_run_on_linux,
        severity=Severity.MEDIUM,
        remediation="Write nodeSelector kubernetes.io/os: linux.",
        source="https://tailscale.com/kb/1019/subnets",
    ),
    stack_rule(
        name="no-update-waits-for-a-dead-machine",
        description="An update does not wait for pods on machines that may be off.",
        validate=no_rollout_waits_for_dead_machines,
        severity=Severity.MEDIUM,
        remediation=f'Add the annotation {_SKIP}: "true" to DaemonSets, and skipAwait: true to charts.',
        source="https://github.com/pulumi/pulumi-kubernetes/pull/2953",
    ),
)
