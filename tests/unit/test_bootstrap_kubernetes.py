"""kubeadm's, the kubelet's, containerd's and the CNI's configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from bootstrap.cni import CNI_LABEL, cilium_values, plain_conflist
from bootstrap.connector import connector_pod, routes
from bootstrap.gateway import Tailnet, environment
from bootstrap.images import Images
from bootstrap.kubeadm import kubeadm_config
from bootstrap.kubelet import containerd_config, kubelet_config, kubelet_unit
from bootstrap.script import bootstrap_kubeconfig
from network.plan import plan_network
from tests.stacks import stack

PLAN = plan_network(stack())
GPU = PLAN.region("gpu")
CONTROL_PLANE = PLAN.hub.control_plane[0]
WORKER = GPU.workers[0]
IMAGES = Images(tailscale_version="1.102.3")
MIRRORED = Images(tailscale_version="1.102.3", mirror="registry.example.com/mirror/")


def kubeadm(**changes: Any) -> dict[str, dict[str, Any]]:
    """kubeadm's documents by kind."""
    settings: dict[str, Any] = {
        "version": "1.33.1",
        "endpoint": "api.dev.tailspan.internal",
        "public_names": (),
        "unreachable_seconds": 3600,
    } | changes
    images = settings.pop("images", IMAGES)
    documents = yaml.safe_load_all(kubeadm_config(CONTROL_PLANE, PLAN, images, **settings))
    return {document["kind"]: document for document in documents}


def kubelet() -> Any:
    # The one place-holder that is a number would be no YAML.
    return yaml.safe_load(kubelet_config(PLAN).replace("@OOM_SCORE_ADJ@", "-999"))


def arguments(section: dict[str, Any]) -> dict[str, str]:
    return {argument["name"]: argument["value"] for argument in section["extraArgs"]}


def test_kubeadm_makes_no_bootstrap_token_and_no_binding_for_one() -> None:
    init = kubeadm()["InitConfiguration"]
    # An empty list would be filled with a default token; the phase itself has to go.
    assert "bootstrap-token" in init["skipPhases"]
    assert "bootstrapTokens" not in init


def test_kubeadm_installs_no_dns_because_every_region_has_its_own() -> None:
    assert "addon/coredns" in kubeadm()["InitConfiguration"]["skipPhases"]


def test_the_control_plane_listens_at_its_node_ip_under_a_name() -> None:
    documents = kubeadm(public_names=("api.example.com",))
    assert documents["InitConfiguration"]["localAPIEndpoint"]["advertiseAddress"] == "10.0.0.10"
    cluster = documents["ClusterConfiguration"]
    assert cluster["controlPlaneEndpoint"] == "api.dev.tailspan.internal:6443"
    assert cluster["apiServer"]["certSANs"] == ["api.dev.tailspan.internal", "10.0.0.10", "api.example.com"]


def test_pod_ranges_come_from_the_plan_and_not_from_the_controller_manager() -> None:
    documents = kubeadm()
    cluster = documents["ClusterConfiguration"]
    assert arguments(cluster["controllerManager"])["allocate-node-cidrs"] == "false"
    assert cluster["networking"]["podSubnet"] == "10.128.0.0/9"
    # kube-proxy masquerades what comes from outside its clusterCIDR: it must hold every region's pods.
    assert documents["KubeProxyConfiguration"]["clusterCIDR"] == "10.128.0.0/9"


def test_pods_stay_on_a_region_that_is_cut_off_as_long_as_the_file_says() -> None:
    server = arguments(kubeadm(unreachable_seconds=7200)["ClusterConfiguration"]["apiServer"])
    assert server["default-unreachable-toleration-seconds"] == "7200"
    assert server["default-not-ready-toleration-seconds"] == "7200"


def test_the_kubelet_starts_static_pods_before_it_has_a_certificate() -> None:
    config = kubelet()
    assert config["rotateCertificates"] is True
    assert config["staticPodPath"] == "/etc/kubernetes/manifests"


def test_the_kubelet_answers_nobody_without_a_certificate_or_token() -> None:
    config = kubelet()
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["authentication"]["webhook"] == {"enabled": True}
    assert config["authorization"] == {"mode": "Webhook"}
    assert "readOnlyPort" not in config


def test_the_kubelet_asks_the_clusters_dns() -> None:
    assert kubelet()["clusterDNS"] == ["10.96.0.10"]


def test_the_kubelet_is_known_by_its_planned_name_and_address_and_always_comes_back() -> None:
    unit = kubelet_unit(WORKER)
    assert "--hostname-override=gpu-c --node-ip=10.1.0.12" in unit
    assert "Restart=always" in unit
    assert "StartLimitIntervalSec=0" in unit


def test_only_kubeadm_makes_the_control_planes_credentials() -> None:
    option = "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf"
    assert option in kubelet_unit(WORKER)
    assert option not in kubelet_unit(CONTROL_PLANE)


def test_the_machine_fills_in_what_only_it_knows() -> None:
    for text, places in (
        (kubelet_config(PLAN), {"@CGROUP_DRIVER@", "@RESOLV_CONF@", "@OOM_SCORE_ADJ@"}),
        (containerd_config(IMAGES), {"@RESTRICT_OOM@", "@CNI_BIN@", "@SYSTEMD_CGROUP@"}),
    ):
        assert {place for place in places if place in text} == places
    # A number, so its place must not be quoted.
    assert "oomScoreAdj: @OOM_SCORE_ADJ@\n" in kubelet_config(PLAN)


def test_containerd_starts_sandboxes_from_the_stacks_pause_image() -> None:
    assert 'sandbox_image = "registry.k8s.io/pause:3.10"' in containerd_config(IMAGES)
    assert 'sandbox_image = "registry.example.com/mirror/pause:3.10"' in containerd_config(MIRRORED)


def test_a_mirror_stands_in_front_of_every_image() -> None:
    images = [MIRRORED.pause, MIRRORED.coredns, MIRRORED.tailscale, MIRRORED.kubernetes_repository]
    assert all(image.startswith("registry.example.com/mirror") for image in images)
    assert not any("//" in image for image in images)
    assert (
        kubeadm(images=MIRRORED)["ClusterConfiguration"]["imageRepository"] == "registry.example.com/mirror"
    )
    assert IMAGES.tailscale == "ghcr.io/tailscale/tailscale:v1.102.3"


def test_a_bootstrap_kubeconfig_trusts_the_clusters_ca_alone() -> None:
    config = yaml.safe_load(bootstrap_kubeconfig("https://api.example.com:6443", "abc123.0123456789abcdef"))
    assert config["clusters"][0]["cluster"] == {
        "server": "https://api.example.com:6443",
        "certificate-authority": "/etc/kubernetes/pki/ca.crt",
    }


def test_the_plain_network_gives_pods_the_nodes_range_and_never_masquerades() -> None:
    bridge = json.loads(plain_conflist(WORKER, GPU, PLAN))["plugins"][0]
    assert bridge["ipMasq"] is False
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.129.12.0/24"}]]
    # Inside the region pods have the LAN's packet size.
    assert "mtu" not in bridge


def cilium(*edits: tuple[str, Any]) -> dict[str, Any]:
    plan = plan_network(stack(("regions.1.cni", "cilium"), *edits))
    return cilium_values([region for region in plan.regions if region.cni == "cilium"], plan)


@pytest.mark.parametrize(("lan", "direct"), [("l2", True), ("routed", False)])
def test_cilium_routes_natively_and_to_neighbours_where_there_are_some(lan: str, direct: bool) -> None:
    values = cilium(("regions.1.provider.lan", lan))
    assert values["routingMode"] == "native"
    assert values["ipv4NativeRoutingCIDR"] == "10.128.0.0/9"
    assert values["autoDirectNodeRoutes"] is direct
    assert values["directRoutingSkipUnreachable"] is True
    assert values["ipam"] == {"mode": "kubernetes"}
    assert "tunnelProtocol" not in values


def test_cilium_is_told_its_devices_and_its_mtu() -> None:
    # Left alone it takes tailscale0, and its MTU of 1280 for every pod.
    assert (cilium()["devices"], cilium()["MTU"]) == ("eth0", 1500)
    edits = [("regions.0.cni", "cilium"), ("regions.0.lan_device", "ens4"), ("regions.0.lan_mtu", 1460)]
    both = cilium(*edits)
    assert (both["devices"].split(), both["MTU"]) == (["ens4", "eth0"], 1460)


def test_cilium_runs_where_it_is_asked_for() -> None:
    values = cilium()
    assert values["nodeSelector"] == values["operator"]["nodeSelector"] == {CNI_LABEL: "cilium"}


def test_a_tunnel_larger_than_usual_is_what_tailscaled_is_told() -> None:
    def asked(mtu: int) -> str | None:
        tailnet = Tailnet(login_server=None, private_ca=False, advertise_tags=True, mtu=mtu)
        return environment(tailnet, "tag:x").get("TS_DEBUG_MTU")

    assert (asked(1280), asked(1420)) == (None, "1420")


def test_a_kubelet_starts_no_more_pods_than_the_plan_allows() -> None:
    small = plan_network(stack(("kubernetes.node_pod_prefix", 27)))
    config = yaml.safe_load(kubelet_config(small).replace("@OOM_SCORE_ADJ@", "-999"))
    assert config["maxPods"] == small.max_pods == 28


@pytest.mark.parametrize(
    ("tailnet", "extra"),
    [
        (
            Tailnet(login_server="https://hs.example.com", private_ca=False, advertise_tags=False),
            ["--login-server=https://hs.example.com"],
        ),
        (
            Tailnet(login_server=None, private_ca=False, advertise_tags=True),
            ["--advertise-tags=tag:tailspan-gpu"],
        ),
    ],
    ids=["headscale", "tailscale"],
)
def test_a_gateway_keeps_sources_accepts_routes_and_names_its_tag_where_it_may(
    tailnet: Tailnet, extra: list[str]
) -> None:
    pod = connector_pod(GPU.gateways[0], GPU, PLAN, "gpu-a", tailnet, IMAGES)
    env = {entry["name"]: entry["value"] for entry in pod["spec"]["containers"][0]["env"]}
    common = ["--accept-routes", "--snat-subnet-routes=false", "--stateful-filtering=false"]
    assert env["TS_EXTRA_ARGS"].split() == common + extra
    # Tailscale keeps logs for its customers; nobody reads them for a headscale.
    assert ("TS_NO_LOGS_NO_SUPPORT" in env) == (tailnet.login_server is not None)
    assert "SSL_CERT_FILE" not in env


def test_routes_are_separated_by_commas_without_blanks() -> None:
    assert routes(GPU.gateways[1]) == "10.1.0.0/25,10.1.0.128/25,10.129.0.0/17,10.129.128.0/17"
    assert routes(WORKER) == ""
