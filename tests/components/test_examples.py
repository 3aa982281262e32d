"""What must hold in every example, whichever cloud its regions are in: a graph is judged here, not compared."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.schema import StackConfig
from network.plan import RegionPlan, plan_network
from tests.components.deploy import deployed
from tests.components.recording import Recording
from tests.stacks import ROOT, STACK_FILES, put, stack_data

every = pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name.split(".")[1])
CLOUDS = ("gcp", "aws")
ANYWHERE, WIREGUARD = "0.0.0.0/0", "41641"
CLUSTERS = {"gke": "gcp:container/cluster:Cluster", "eks": "aws:eks/cluster:Cluster"}


def read(path: Path) -> StackConfig:
    return StackConfig.model_validate(stack_data(path))


def in_clouds(config: StackConfig) -> Iterator[tuple[str, RegionPlan, set[str]]]:
    """Regions at gcp or aws: the cloud, the region, and the ranges of all others."""
    plan = plan_network(config)
    kinds = {region.name: region.provider.kind for region in config.regions}
    for region in plan.regions:
        if kinds[region.name] in CLOUDS:
            others = [other for other in plan.regions if other is not region]
            yield (
                kinds[region.name],
                region,
                {str(cidr) for other in others for cidr in (other.node_cidr, other.pod_cidr)},
            )


@every
def test_a_preview_shows_what_the_update_makes(path: Path) -> None:
    config = read(path)
    preview, update = deployed(config, preview=True), deployed(config)
    assert preview.resources.keys() == update.resources.keys()
    for name, resource in update.resources.items():
        seen = preview[name]
        assert (seen.type, seen.parent, seen.provider, seen.protect) == (
            resource.type,
            resource.parent,
            resource.provider,
            resource.protect,
        )


@every
def test_no_resource_uses_a_default_provider(path: Path) -> None:
    recording = deployed(read(path))
    for item in recording.resources.values():
        if item.custom and not item.type.startswith("pulumi:"):
            assert recording[item.provider].type == f"pulumi:providers:{item.type.split(':')[0]}", item.name


@every
def test_the_engine_is_told_that_default_providers_are_off(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["config"]["pulumi:disable-default-providers"] == ["*"]


@every
def test_gateways_at_clouds_are_public_and_open_and_forward(path: Path) -> None:
    config = read(path)
    recording = deployed(config)
    for cloud, region, _ in in_clouds(config):
        assert region.gateways
        for node in region.gateways:
            facts = {"gcp": gcp_gateway, "aws": aws_gateway}[cloud](recording, node.name)
            assert facts == {"forwards": True, "public": True, "open": True}, node.name


def gcp_gateway(recording: Recording, name: str) -> dict[str, bool]:
    machine = recording[name].inputs
    (interface,) = machine["networkInterfaces"]
    addresses = [access.get("natIp") for access in interface["accessConfigs"]]
    firewalls = [
        rule.inputs
        for rule in recording.of("compute/firewall:Firewall").values()
        if set(rule.inputs.get("targetTags", ())) & set(machine["tags"])
    ]
    return {
        "forwards": machine.get("canIpForward") is True,
        "public": all(addresses) and bool(addresses),
        "open": any(
            ANYWHERE in rule["sourceRanges"] and {"protocol": "udp", "ports": [WIREGUARD]} in rule["allows"]
            for rule in firewalls
        ),
    }


def aws_gateway(recording: Recording, name: str) -> dict[str, bool]:
    machine = recording[name].inputs
    groups = set(machine["vpcSecurityGroupIds"])
    rules = [rule.inputs for rule in recording.of("SecurityGroupIngressRule").values()]
    mine = [rule for rule in rules if rule["securityGroupId"] in groups]
    identity = recording.outputs_of(name).get("id", f"{name}-id")
    return {
        "forwards": machine.get("sourceDestCheck") is False,
        "public": any(
            identity in (item.inputs.get("instance"), item.inputs.get("instanceId"))
            for item in recording.resources.values()
            if item.type.startswith("aws:ec2/eip")
        ),
        "open": any(
            (rule["ipProtocol"], rule.get("fromPort"), rule.get("toPort"), rule["cidrIpv4"])
            == ("udp", int(WIREGUARD), int(WIREGUARD), ANYWHERE)
            for rule in mine
        ),
    }


@every
def test_every_range_of_another_region_is_routed_in_every_table(path: Path) -> None:
    config = read(path)
    recording = deployed(config)
    for cloud, region, remote in in_clouds(config):
        inside = [recording[name] for name in recording.below(region.name)]
        if cloud == "gcp":
            routes = [item.inputs for item in inside if item.type == "gcp:compute/route:Route"]
            assert {route["destRange"] for route in routes} == remote
            continue
        made = [item for item in inside if item.type == "aws:ec2/routeTable:RouteTable"]
        assert made
        for table in made:
            led = {
                item.inputs["destinationCidrBlock"]
                for item in inside
                if item.type == "aws:ec2/route:Route" and item.inputs["routeTableId"] == f"{table.name}-id"
            }
            assert led - {ANYWHERE} == remote, table.name


@every
def test_what_would_lose_the_cluster_is_protected(path: Path) -> None:
    config = read(path)
    recording = deployed(config)
    plan = plan_network(config)
    kind = plan.control_plane
    if kind == "kubeadm":
        (node,) = plan.hub.control_plane
        protected = [item for item in recording.resources.values() if item.protect]
        assert any(item.name.startswith(node.name) for item in protected)
        return
    (cluster,) = [item for item in recording.resources.values() if item.type == CLUSTERS[kind]]
    assert cluster.protect
    assert cluster.inputs["deletionProtection"] is True


@every
def test_a_gateways_machine_is_in_nothing_that_the_cluster_is_made_of(path: Path) -> None:
    """Another gateway cannot be a reason to make the cluster anew."""
    config = read(path)
    plan = plan_network(config)
    recording = deployed(config)
    heart = (
        [item.name for item in recording.resources.values() if item.type == CLUSTERS[plan.control_plane]]
        if plan.control_plane in CLUSTERS
        else [node.name for node in plan.hub.control_plane]
    )
    gateways = {node.name for region in plan.regions for node in region.gateways}
    for name in heart:
        assert not recording.before(name) & gateways


@every
def test_a_pod_of_a_daemon_set_tolerates_every_machine_that_it_is_for(path: Path) -> None:
    recording = deployed(read(path))
    nodes = [declared for declared in map(node_of, recording.of("local:Command").values()) if declared]
    for item in recording.of(":DaemonSet").values():
        pod = item.value("spec")["template"]["spec"]
        for node in nodes:
            if selected(pod, node["labels"]):
                for taint in node["taints"]:
                    assert tolerated(taint, pod.get("tolerations", [])), f"{item.name} on {node['name']}"


@every
def test_no_deployments_pod_goes_back_to_a_node_that_is_drained(path: Path) -> None:
    cordon = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    deployments = deployed(read(path)).of(":Deployment")
    assert deployments
    for item in deployments.values():
        pod = item.value("spec")["template"]["spec"]
        assert not tolerated(cordon, pod.get("tolerations", [])), item.name


@every
def test_a_regions_own_dns_has_a_machine_that_it_tolerates(path: Path) -> None:
    recording = deployed(read(path))
    nodes = [declared for declared in map(node_of, recording.of("local:Command").values()) if declared]
    for item in recording.of(":Deployment").values():
        pod = item.value("spec")["template"]["spec"]
        homes = [node for node in nodes if selected(pod, node["labels"])]
        if homes:
            assert any(
                all(tolerated(taint, pod.get("tolerations", [])) for taint in node["taints"])
                for node in homes
            ), item.name


def node_of(item: Any) -> dict[str, Any] | None:
    if not item.name.endswith("-join") or not str(item.value("create")).endswith(" join"):
        return None
    node = yaml.safe_load(item.value("stdin")).get("node")
    return {"labels": {}, "taints": [], **node} if node else None


def selected(pod: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = pod.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    affinity = ((pod.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not affinity:
        return True
    return any(
        all(matches(one, labels) for one in term.get("matchExpressions", []))
        for term in affinity["nodeSelectorTerms"]
    )


def matches(wanted: dict[str, Any], labels: dict[str, str]) -> bool:
    value = labels.get(wanted["key"])
    match wanted["operator"]:
        case "In":
            return value in wanted["values"]
        case "NotIn":
            return value not in wanted["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise AssertionError(wanted)


def tolerated(taint: dict[str, str], tolerations: list[dict[str, str]]) -> bool:
    return any(
        one.get("key") in (None, taint["key"])
        and one.get("effect") in (None, taint["effect"])
        and (one.get("operator") == "Exists" or one.get("value") == taint.get("value"))
        for one in tolerations
    )


@pytest.mark.parametrize(
    ("stack", "loaded"),
    [
        ("Pulumi.dev.yaml", []),
        ("examples/Pulumi.gcp-kubeadm.yaml", ["pulumi_gcp"]),
        ("examples/Pulumi.gke-hyperstack.yaml", ["pulumi_gcp"]),
        ("examples/Pulumi.aws-kubeadm.yaml", ["pulumi_aws"]),
        ("examples/Pulumi.aws-eks-hybrid.yaml", ["pulumi_aws"]),
    ],
)
def test_a_stack_loads_the_sdk_of_its_own_cloud_and_no_other(stack: str, loaded: list[str]) -> None:
    program = f"""
import sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from config.schema import StackConfig
from tests.components.deploy import deploy
from tests.stacks import stack_data
deploy(StackConfig.model_validate(stack_data(Path({str(ROOT / stack)!r}))), preview=True)
print([name for name in ("pulumi_aws", "pulumi_gcp", "pulumi_nebius") if name in sys.modules])
"""
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert yaml.safe_load(found.stdout) == loaded


def test_a_closed_or_silent_gateway_is_noticed() -> None:
    """The checks of this file can fail."""
    path = ROOT / "examples" / "Pulumi.gcp-kubeadm.yaml"
    recording = deployed(StackConfig.model_validate(put(stack_data(path), "regions.0.gateway_firewall", [])))
    assert gcp_gateway(recording, "hub-gw-1") == {"forwards": True, "public": True, "open": False}
    path = ROOT / "examples" / "Pulumi.aws-kubeadm.yaml"
    recording = deployed(StackConfig.model_validate(put(stack_data(path), "regions.0.gateway_firewall", [])))
    assert aws_gateway(recording, "hub-gw-1") == {"forwards": True, "public": True, "open": False}
    assert aws_gateway(recording, "hub-cpu-1")["public"] is False
