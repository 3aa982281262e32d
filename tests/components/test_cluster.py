"""The control plane seen from outside, admission, and the cluster's DNS."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from components.cluster import operator_kubeconfig
from config.schema import StackConfig
from tests.components.deploy import ADMIN_CONF, ADMIN_TOKEN, PUBLIC_IP, deployed
from tests.components.node_scripts import written_by
from tests.components.recording import Recording
from tests.components.stacks import dev, elsewhere, private_api


@pytest.fixture
def recording() -> Recording:
    return deployed(dev())


def kubeconfig(recording: Recording) -> Any:
    return yaml.safe_load(recording.outputs["tailspan-dev"]["kubeconfig"].value)


@pytest.mark.parametrize(
    ("stack", "address"), [(dev(), PUBLIC_IP), (private_api(), "10.0.0.10")], ids=["public", "tailnet"]
)
def test_the_kubeconfig_holds_the_reachable_address_and_the_name_in_the_certificate(
    stack: StackConfig, address: str
) -> None:
    config = kubeconfig(deployed(stack))
    assert config["clusters"][0]["cluster"] == {
        "server": f"https://{address}:6443",
        "tls-server-name": "api.dev.tailspan.internal",
    }
    assert config["users"][0]["user"]["token"] == ADMIN_TOKEN


def test_on_a_listed_machine_it_is_that_machines_address() -> None:
    assert (
        kubeconfig(deployed(elsewhere()))["clusters"][0]["cluster"]["server"] == "https://198.51.100.20:6443"
    )


def test_the_same_credentials_make_the_same_kubeconfig() -> None:
    first, second = (operator_kubeconfig(ADMIN_CONF, PUBLIC_IP, "api.example.com") for _ in range(2))
    assert first == second


def test_a_renewed_credential_does_not_replace_every_object_of_the_cluster(recording: Recording) -> None:
    provider = recording["hub-cluster"]
    assert provider.inputs["clusterIdentifier"]
    assert provider.secret("kubeconfig")


def test_a_token_may_file_requests_and_nobody_approves_them_but_the_operator(recording: Recording) -> None:
    bindings = recording.of(":ClusterRoleBinding")
    roles = {
        binding.inputs["roleRef"]["name"]: [subject["name"] for subject in binding.inputs["subjects"]]
        for binding in bindings.values()
    }
    assert roles == {
        "system:node-bootstrapper": ["system:bootstrappers:tailspan"],
        # Renewals only: `nodeclient` would give any token holder any node's first certificate.
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": ["system:nodes"],
        "system:coredns": ["coredns"],
    }


def test_the_control_planes_script_makes_the_cluster_of_the_stack(recording: Recording) -> None:
    files = written_by(recording["hub-cp-1-bootstrap"].value("stdin"))
    documents = list(yaml.safe_load_all(files["/etc/tailspan/kubeadm.yaml"]))
    cluster = next(item for item in documents if item["kind"] == "ClusterConfiguration")
    assert cluster["kubernetesVersion"] == "v1.33.1"
    assert cluster["controlPlaneEndpoint"] == "api.dev.tailspan.internal:6443"
    assert "/etc/kubernetes/bootstrap-kubelet.conf" not in files


def test_data_that_manifests_refer_to_by_name_changes_in_place(recording: Recording) -> None:
    # Otherwise a new route would be a new ConfigMap, and the old one's name is in use.
    provider = recording["hub-cluster"].inputs
    assert (provider["enableConfigMapMutable"], provider["enableSecretMutable"]) == ("true", "true")


def test_cilium_is_installed_for_the_regions_that_ask_for_it_only(recording: Recording) -> None:
    assert recording.of(":Release") == {}
    asked = deployed(elsewhere())
    release = asked["cilium"]
    assert (release.inputs["chart"], release.provider) == ("cilium", "hub-cluster")
    # Awaited, it would hang for as long as one remote machine is dead.
    assert release.inputs["skipAwait"] is True
    labels = {
        name: json.loads(asked[f"{name}-join"].secret("stdin"))["node"]["labels"]
        for name in ("hub-gw", "tx-a", "tx-b")
    }
    selector = release.inputs["values"]["nodeSelector"]
    selected = {name for name, given in labels.items() if selector.items() <= given.items()}
    assert selected == {"tx-a", "tx-b"}
    assert release.inputs["values"]["devices"] == "ens3"


def test_every_region_answers_dns_itself(recording: Recording) -> None:
    deployments = recording.of(":Deployment")
    assert deployments.keys() == {"hub-dns", "gpu-dns"}
    for name, deployment in deployments.items():
        region = name.removesuffix("-dns")
        pod = deployment.inputs["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {"topology.kubernetes.io/region": region}
        assert deployment.inputs["spec"]["replicas"] == 2
        assert deployment.inputs["metadata"]["name"] == f"coredns-{region}"


def test_the_dns_service_has_the_planned_address_and_prefers_near_pods(recording: Recording) -> None:
    spec = recording["dns-service"].inputs["spec"]
    assert spec["clusterIP"] == "10.96.0.10"
    assert spec["trafficDistribution"] == "PreferClose"
    for deployment in recording.of(":Deployment").values():
        labels = deployment.inputs["spec"]["template"]["metadata"]["labels"]
        assert spec["selector"].items() <= labels.items()


def test_a_regions_dns_waits_for_its_nodes(recording: Recording) -> None:
    assert {"gpu-a-join", "gpu-b-join", "dns-service"} <= recording.before("gpu-dns")
    # A plain machine that is dead would keep the whole region from resolving names.
    assert "gpu-c-join" not in recording.before("gpu-dns")
    assert {"hub-gw-1-join", "hub-gw-2-join", "dns-service"} <= recording.before("hub-dns")


def test_one_machine_beside_the_control_plane_runs_one_dns_pod() -> None:
    assert deployed(elsewhere())["hub-dns"].inputs["spec"]["replicas"] == 1
