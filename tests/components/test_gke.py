"""A hub whose control plane is GKE: what is made, who reaches it, and how foreign machines are let in."""

from __future__ import annotations

import base64
import json
import subprocess
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from components.nodes import bootstrap_token
from network.plan import plan_network
from tests.components.deploy import (
    CLUSTER_CA,
    MANAGED_PRIVATE,
    MANAGED_PUBLIC,
    SEED,
    deployed,
)
from tests.components.managed import gke
from tests.components.recording import Recording, texts
from tests.components.sdk_inputs import problems

MACHINES = ("hub-gw-1", "hub-gw-2", "tx-a", "tx-b")
UNMANAGED = "components.gke.io/gke-unmanaged-node"


@pytest.fixture(scope="module")
def recording() -> Recording:
    return deployed(gke())


def networks(recording: Recording) -> dict[str, IPv4Network]:
    found = {}
    for item in recording.of("Subnetwork").values():
        found[item.name] = IPv4Network(item.value("ipCidrRange"))
        for extra in item.inputs.get("secondaryIpRanges", []):
            found[extra["rangeName"]] = IPv4Network(extra["ipCidrRange"])
    return found


def test_the_sdk_would_take_every_input(recording: Recording) -> None:
    made = [item for item in recording.resources.values() if item.type.startswith("gcp:")]
    assert len(made) > 20
    assert [line for item in made for line in problems(item.type, item.inputs)] == []


def test_a_preview_and_an_update_make_the_same(recording: Recording) -> None:
    assert deployed(gke(), preview=True).resources.keys() == recording.resources.keys()


def test_the_control_plane_is_no_machine(recording: Recording) -> None:
    assert not [name for name in recording.resources if "-cp-" in name]
    assert set(recording.of("remote:Command")) == {f"{name}-bootstrap" for name in MACHINES}


def test_everything_of_googles_goes_by_the_regions_account(recording: Recording) -> None:
    made = [item for item in recording.resources.values() if item.type.startswith("gcp:")]
    assert len(made) > 20
    assert {item.provider for item in made} == {"gcp-acme-ml-us-central1"}


def test_the_cluster_can_have_foreign_nodes(recording: Recording) -> None:
    cluster = recording["hub-gke"]
    assert cluster.value("datapathProvider") == "LEGACY_DATAPATH"
    assert cluster.value("networkingMode") == "VPC_NATIVE"
    assert "enableAutopilot" not in cluster.inputs
    assert cluster.value("minMasterVersion") == "1.35"
    assert cluster.value("releaseChannel") == {"channel": "REGULAR"}


def test_a_cluster_is_not_lost_by_accident(recording: Recording) -> None:
    assert recording["hub-gke"].protect
    assert recording["hub-gke"].value("deletionProtection") is True
    free = deployed(gke(("regions.0.control_plane.deletion_protection", False)))
    assert free["hub-gke"].value("deletionProtection") is False


def test_a_gateways_replacement_does_not_touch_the_cluster(recording: Recording) -> None:
    before = recording.before("hub-gke")
    assert not [name for name in before if "gw" in name or "join" in name]


def test_all_ranges_are_the_regions_and_none_meets_another(recording: Recording) -> None:
    found = networks(recording)
    plan = plan_network(gke())
    hub = plan.hub
    assert hub.managed
    parts = list(found.values())
    assert len(parts) == 6
    assert not [(a, b) for a in parts for b in parts if a is not b and a.overlaps(b)]
    assert found.pop("gke-services") == plan.service_cidr
    assert found.pop("gke-pods").subnet_of(hub.pod_cidr)
    assert found.pop("pods") == hub.machine_pod_cidr
    assert found["hub-subnetwork"] == hub.machine_cidr
    assert all(cidr.subnet_of(hub.node_cidr) for cidr in found.values())
    assert found["hub-gke-endpoint-subnet"].prefixlen == 28
    for node in hub.nodes:
        assert node.node_ip in hub.machine_cidr
        assert node.pod_cidr.subnet_of(hub.machine_pod_cidr)


def test_the_api_server_answers_the_operator_and_the_gateways_only(recording: Recording) -> None:
    cluster = recording["hub-gke"]
    allowed = {block["cidrBlock"] for block in cluster.value("masterAuthorizedNetworksConfig")["cidrBlocks"]}
    assert allowed == {"198.51.100.1/32", "10.0.0.0/23"}
    assert cluster.value("masterAuthorizedNetworksConfig")["privateEndpointEnforcementEnabled"] is True
    assert cluster.value("privateClusterConfig")["enablePrivateNodes"] is True
    assert cluster.value("privateClusterConfig")["enablePrivateEndpoint"] is False
    dns = cluster.value("controlPlaneEndpointsConfig")["dnsEndpointConfig"]
    assert dns == {"allowExternalTraffic": False}


def servers(kubeconfig: str) -> list[str]:
    return [entry["cluster"]["server"] for entry in yaml.safe_load(kubeconfig)["clusters"]]


def test_the_operators_kubeconfig_holds_no_credential(recording: Recording) -> None:
    kubeconfig = yaml.safe_load(recording["hub-cluster"].secret("kubeconfig"))
    assert servers(recording["hub-cluster"].secret("kubeconfig")) == [f"https://{MANAGED_PUBLIC}"]
    (user,) = kubeconfig["users"]
    assert set(user["user"]) == {"exec"}
    assert user["user"]["exec"]["command"] == "gke-gcloud-auth-plugin"
    authority = kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]
    assert base64.b64decode(authority).decode() == CLUSTER_CA


def test_its_nodes_have_an_identity_of_their_own_that_may_little(recording: Recording) -> None:
    account = recording["hub-gke-nodes"]
    assert 6 <= len(account.value("accountId")) <= 30
    role = recording["hub-gke-nodes-role"]
    assert role.value("role") == "roles/container.defaultNodeServiceAccount"
    pool = recording["hub-cpu"]
    assert pool.value("nodeCount") == 2
    assert pool.value("nodeConfig")["serviceAccount"] == f"{account.value('accountId')}@acme.iam"
    assert pool.value("nodeConfig")["machineType"] == "big-4"
    assert pool.value("nodeConfig")["workloadMetadataConfig"] == {"mode": "GKE_METADATA"}
    assert pool.value("networkConfig") == {"enablePrivateNodes": True, "podRange": "gke-pods"}


def test_its_nodes_accept_all_regions_and_nobody_else(recording: Recording) -> None:
    firewall = recording["hub-gke-inside"]
    assert firewall.value("sourceRanges") == ["10.0.0.0/22", "10.128.0.0/14", "10.135.0.0/16", "10.3.0.0/24"]
    assert firewall.value("targetServiceAccounts") == [
        recording["hub-cpu"].value("nodeConfig")["serviceAccount"]
    ]


@pytest.mark.parametrize("name", MACHINES)
def test_foreign_nodes_are_declared_so_that_google_leaves_them_alone(recording: Recording, name: str) -> None:
    node = json.loads(recording[f"{name}-join"].secret("stdin"))["node"]
    assert node["labels"][UNMANAGED] == "true"
    assert node["labels"]["node.kubernetes.io/exclude-from-external-load-balancers"] == "true"
    assert node["taints"] == [{"key": "tailspan.dev/foreign", "value": "true", "effect": "NoSchedule"}]
    assert node["provider_id"].partition("://")[0] in ("gce", "gcp", "ssh")
    script = recording[f"{name}-bootstrap"].secret("stdin")
    assert f"--node-labels={UNMANAGED}=true,node.kubernetes.io/exclude" in script
    assert "registerWithTaints:\n- effect: NoSchedule\n  key: tailspan.dev/foreign" in script


@pytest.mark.parametrize("name", MACHINES)
def test_machines_reach_the_private_endpoint_and_hold_no_token(recording: Recording, name: str) -> None:
    script = recording[f"{name}-bootstrap"].secret("stdin")
    assert f"server: https://{MANAGED_PRIVATE}\n" in script
    assert "API_ADDRESS=''\nAPI_NAME=''\n" in script
    # Nothing in the script is worth stealing from whoever reads it a year later.
    node = next(n for r in plan_network(gke()).regions for n in r.nodes if n.name == name)
    assert bootstrap_token(SEED, node) not in script
    assert "token: comes-with-the-admission" in script


@pytest.mark.parametrize("name", MACHINES)
def test_the_join_brings_each_machine_its_token(recording: Recording, name: str) -> None:
    admission = json.loads(recording[f"{name}-join"].secret("stdin"))["admission"]
    assert admission["namespace"] == "tailspan-admission"
    assert admission["login"]["host_key"].startswith("ssh-ed25519 ")
    assert admission["command"] == "sudo -n /bin/bash -s -- admit"
    assert admission["script"].count("@BOOTSTRAP_TOKEN@") == 1
    assert f"server: https://{MANAGED_PRIVATE}\n" in admission["script"]
    assert ("jump" in admission["login"]) == (name == "tx-b")


def test_who_asks_for_a_certificate_may_do_nothing_else(recording: Recording) -> None:
    binding = recording["tailspan-node-bootstrapper"]
    assert binding.value("roleRef")["name"] == "system:node-bootstrapper"
    (subject,) = binding.value("subjects")
    assert subject["name"] == "system:serviceaccounts:tailspan-admission"
    for name in MACHINES:
        before = recording.before(f"{name}-join")
        assert {"tailspan-admission", "tailspan-node-bootstrapper", "kube-proxy", "hub-cpu"} <= before


def test_kube_proxy_runs_on_planned_machines_and_not_by_way_of_a_service(recording: Recording) -> None:
    spec = recording["kube-proxy-daemonset"].value("spec")["template"]["spec"]
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchExpressions"] == [
        {"key": "node-restriction.kubernetes.io/tailspan-role", "operator": "Exists"}
    ]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["containers"][0]["image"] == "registry.k8s.io/kube-proxy:v1.35.2"
    files = recording["kube-proxy-config"].value("data")
    assert servers(files["kubeconfig.conf"]) == [f"https://{MANAGED_PRIVATE}"]
    assert yaml.safe_load(files["config.conf"])["clusterCIDR"] == "10.128.0.0/9"


def test_our_dns_stands_beside_googles(recording: Recording) -> None:
    service = recording["dns-service"]
    assert service.value("metadata")["name"] == "tailspan-dns"
    assert service.value("spec")["clusterIP"] == "10.96.0.11"
    assert service.value("spec")["selector"] == {"k8s-app": "tailspan-dns"}
    for name in ("hub-dns", "tx-dns"):
        assert recording[name].value("spec")["template"]["metadata"]["labels"]["k8s-app"] == "tailspan-dns"
    assert "clusterDNS:\n- 10.96.0.11\n" in recording["tx-a-bootstrap"].secret("stdin")


def test_gateways_may_be_critical_in_their_namespace(recording: Recording) -> None:
    quota = recording["tailscale-critical-pods"]
    assert quota.value("metadata")["namespace"] == "tailscale"
    assert "tailscale-critical-pods" in recording.before("hub-subnet-router-daemonset")


def test_other_regions_reach_the_endpoint_at_its_port_only(recording: Recording) -> None:
    grants = json.loads(recording["tailnet-policy"].value("acl"))["grants"]
    to_hub = [grant for grant in grants if grant["dst"] == ["10.0.0.0/22"]]
    assert [grant["ip"] for grant in to_hub] == [["tcp:443", "icmp:*"]] * 2


def test_gateways_of_the_hub_lend_other_regions_their_address(recording: Recording) -> None:
    endpoint = networks(recording)["hub-gke-endpoint-subnet"]
    to = f"ip daddr {{ {endpoint} }} tcp dport 443"
    rule = f"{to} ip saddr != 10.0.0.20 masquerade"
    assert rule in recording["hub-gw-1-bootstrap"].secret("stdin")
    assert f"    {to} return\n" in recording["hub-gw-1-bootstrap"].secret("stdin")
    assert str(endpoint) not in recording["tx-a-bootstrap"].secret("stdin")


def test_no_secret_is_in_plain_sight(recording: Recording) -> None:
    plain = [text for item in recording.resources.values() for text in texts(item.inputs, secrets=False)]
    hidden = (SEED, "tskey-auth-of", "tskey-api-of")
    assert not [text for text in plain if any(word in text for word in hidden)]


def test_three_zones_are_one_choice() -> None:
    found = deployed(gke(("regions.0.control_plane.location", "region")))
    assert found["hub-gke"].value("location") == "us-central1"
    assert found["hub-cpu"].value("location") == "us-central1"


@pytest.mark.parametrize(("certificate", "left"), [(False, "the-token"), (True, "")])
def test_the_admission_writes_the_token_unless_the_machine_has_a_certificate(
    recording: Recording, tmp_path: Path, certificate: bool, left: str
) -> None:
    admission = json.loads(recording["tx-a-join"].secret("stdin"))["admission"]
    script = admission["script"].replace("@BOOTSTRAP_TOKEN@", "the-token")
    for path in ("/etc/kubernetes", "/var/lib/kubelet"):
        script = script.replace(f"{path}/", f"{tmp_path}{path}/")
    for path in ("etc/kubernetes/manifests", "var/lib/kubelet/pki"):
        (tmp_path / path).mkdir(parents=True)
    if certificate:
        (tmp_path / "etc/kubernetes/kubelet.conf").write_text("a kubeconfig")
        (tmp_path / "var/lib/kubelet/pki/kubelet-client-current.pem").write_text("a certificate")
    stubs = 'id() { echo 0; }\nsystemctl() { echo "systemctl $*"; }\n'
    done = subprocess.run(
        ["bash", "-s", "--", "admit"],
        input=stubs + script,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    written = tmp_path / "etc/kubernetes/bootstrap-kubelet.conf"
    assert written.exists() == bool(left)
    assert done.stdout == ("systemctl restart kubelet\n" if left else "")
    if left:
        assert written.stat().st_mode & 0o777 == 0o600
        assert yaml.safe_load(written.read_text())["users"][0]["user"] == {"token": left}
