"""The theft drill: what somebody with root on a GPU gateway tries, and what it gets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest

from lab import cloud
from tests.lab.stand import (
    Json,
    Stand,
    calls_api,
    console,
    get,
    kubectl,
    tailnet_devices,
    tailscale,
    until,
)

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

STOLEN = "gpu-a"
API = "https://api.dev.tailspan.internal:6443"
OWN = ["10.1.0.0/24", "10.129.0.0/16"]
WANTED = ["10.0.0.0/24", "10.128.0.0/16", "10.0.0.10/32"]
# The credential that its kubelet got when the machine joined.
KUBELET = "--cert /var/lib/kubelet/pki/kubelet-client-current.pem --key /var/lib/kubelet/pki/kubelet-client-current.pem"
SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
RESTRICTED = "node-restriction.kubernetes.io"


def call(method: str, path: str, body: Json | None = None, *, login: str = KUBELET) -> tuple[int, Json]:
    """Asks the API server from the stolen machine."""
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    data = f"-H 'Content-Type: {kind}' --data-binary @-" if body else ""
    ask = f"curl -sS -m10 --cacert /etc/kubernetes/pki/ca.crt -X {method} -w '\\n%{{http_code}}'"
    script = f"{ask} {login} {data} '{API}{path}'"
    text = cloud.run_in(STOLEN, ["bash", "-ec", script], stdin=json.dumps(body) if body else None).stdout
    answer, _, status = text.rpartition("\n")
    return int(status), json.loads(answer)


def request_for(node: str, name: str) -> Json:
    """A certificate request like a kubelet's, with a fresh key of the thief's."""
    make = (
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null "
        f"-subj '/O=system:nodes/CN=system:node:{node}' 2>/dev/null | base64 -w0"
    )
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": console(STOLEN, make),
            "signerName": SIGNER,
            "usages": ["digital signature", "client auth"],
        },
    }


def decision(name: str) -> Json:
    status: Json = get("csr", name)["status"]
    return status


# -- routes


@pytest.fixture
def greedy_gateway(dev: Stand) -> Iterator[None]:
    """The stolen gateway says that the hub is behind it."""
    try:
        tailscale(STOLEN, f"set --advertise-routes={','.join([*OWN, *WANTED])}")
        heard = lambda: set(WANTED) <= set(tailnet_devices()[STOLEN]["available_routes"])  # noqa: E731
        until("the control server heard of the stolen prefixes", heard, 20)
        yield
    finally:
        tailscale(STOLEN, f"set --advertise-routes={','.join(OWN)}")


def test_prefixes_of_others_are_not_approved_and_no_traffic_moves(greedy_gateway: None) -> None:
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        device = tailnet_devices()[STOLEN]
        assert inside_own(device["approved_routes"])
        assert not set(WANTED) & set(device.get("subnet_routes") or [])
        time.sleep(0.5)
    for gateway in ("gpu-b", "hub-gw-1", "hub-gw-2"):
        assert inside_own(_routes_of(STOLEN, told_to=gateway))
    # The way of a plain node of the region leads through the thief itself, which finds the true hub.
    assert calls_api("gpu-b")
    assert calls_api("gpu-c")
    for machine in ("gpu-b", "gpu-c"):
        check = f"curl -s -m3 --cacert /etc/kubernetes/pki/ca.crt {API}/livez -w '%{{http_code}}' -o/dev/null"
        assert console(machine, check) in ("200", "401"), (
            "not the API server with the cluster's own certificate"
        )


def test_after_the_drill_its_own_routes_serve_again(dev: Stand) -> None:
    until(
        "only its own routes are advertised",
        lambda: inside_own(tailnet_devices()[STOLEN]["available_routes"]),
        20,
    )
    # The route agent's share of them as well: it sets again what others took away.
    until(
        "its own routes are approved",
        lambda: len(tailnet_devices()[STOLEN]["approved_routes"]) > len(OWN),
        20,
    )
    assert inside_own(tailnet_devices()[STOLEN]["approved_routes"])


def inside_own(prefixes: Iterable[str]) -> bool:
    """Is there anything, and does all of it lie in the ranges of the stolen gateway's region?"""
    found, own = [IPv4Network(prefix) for prefix in prefixes], [IPv4Network(block) for block in OWN]
    return bool(found) and all(any(prefix.subnet_of(block) for block in own) for prefix in found)


def _routes_of(device: str, *, told_to: str) -> set[str]:
    """What of the cluster's ranges a gateway would send to a device; its own tailnet address aside."""
    peers: dict[str, Any] = json.loads(tailscale(told_to, "status --json"))["Peer"]
    (peer,) = [peer for peer in peers.values() if peer["HostName"] == device]
    return {prefix for prefix in peer["AllowedIPs"] if prefix.startswith("10.")}


@pytest.mark.parametrize(
    ("what", "address", "port"),
    [
        ("SSH of a hub gateway", "10.0.0.20", 22),
        ("the kubelet of a hub gateway", "10.0.0.20", 10250),
        ("SSH of the control plane", "10.0.0.10", 22),
        ("etcd", "10.0.0.10", 2379),
    ],
)
def test_hub_machines_are_closed_but_for_the_api_server(
    dev: Stand, what: str, address: str, port: int
) -> None:
    opened = console(STOLEN, f"timeout 2 bash -c '</dev/tcp/{address}/{port}' && echo open", check=False)
    assert "open" not in opened, f"{what} answers over the tunnel"
    assert calls_api(STOLEN)


# -- certificates


def test_no_certificate_for_another_node_with_the_kubelets_credential(dev: Stand) -> None:
    name = "drill-kubelet"
    try:
        status, answer = call("POST", CSRS, request_for("hub-gw-1", name))
        assert status in (201, 403), answer
        if status == 201:
            time.sleep(4)
            assert decision(name) == {}
    finally:
        kubectl("delete", "csr", name, "--ignore-not-found")


def test_its_own_renewal_is_still_approved(dev: Stand) -> None:
    """The control: the same request in its own name gets a certificate, so the refusal above means something."""
    name = "drill-own"
    try:
        status, answer = call("POST", CSRS, request_for(STOLEN, name))
        assert status == 201, answer
        until("the certificate", lambda: decision(name).get("certificate"), 20)
    finally:
        kubectl("delete", "csr", name, "--ignore-not-found")


@pytest.fixture
def somebodys_token(dev: Stand) -> Iterator[str]:
    """A token as it is valid while some machine joins."""
    name = "bootstrap-token-drill0"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": name, "namespace": "kube-system"},
        "stringData": {
            "token-id": "drill0",
            "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:tailspan",
        },
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(secret))
    try:
        yield "drill0.0123456789abcdef"
    finally:
        kubectl("delete", "secret", "-n", "kube-system", name, "--ignore-not-found")


def test_no_certificate_for_another_node_with_a_valid_bootstrap_token(somebodys_token: str) -> None:
    name, login = "drill-token", f"-H 'Authorization: Bearer {somebodys_token}'"
    try:
        status, answer = call("POST", CSRS, request_for("hub-gw-1", name), login=login)
        assert status == 201, answer
        time.sleep(4)
        assert decision(name) == {}
        status, _ = call("PUT", f"{CSRS}/{name}/approval", answer, login=login)
        assert status == 403
    finally:
        kubectl("delete", "csr", name, "--ignore-not-found")


def test_the_token_that_it_joined_with_is_dead(dev: Stand) -> None:
    token = console(STOLEN, "sed -n 's/^ *token: *//p' /etc/kubernetes/bootstrap-kubelet.conf").strip()
    assert len(token) == 23
    status, _ = call("GET", CSRS, login=f"-H 'Authorization: Bearer {token}'")
    assert status == 401


# -- pods and Secrets


@pytest.mark.parametrize(
    "labels",
    [{"tailspan-region": "hub"}, {"tailspan-role": "worker"}, {"tailspan-role": None}, {"new": "yes"}],
    ids=str,
)
def test_a_label_that_selects_gateways_cannot_be_set(dev: Stand, labels: dict[str, str | None]) -> None:
    before = get("node", STOLEN)["metadata"]["labels"]
    wanted = {f"{RESTRICTED}/{key}": value for key, value in labels.items()}
    status, answer = call("PATCH", f"/api/v1/nodes/{STOLEN}", {"metadata": {"labels": wanted}})
    assert status == 403, answer
    assert get("node", STOLEN)["metadata"]["labels"] == before


def test_labels_that_can_be_set_attract_no_gateway_pod(dev: Stand) -> None:
    before = get("node", STOLEN)["metadata"]["labels"]
    mine = {
        "tailscale": "true",
        "tailspan.dev/role": "gateway",
        "topology.kubernetes.io/region": "hub",
        "topology.kubernetes.io/zone": "hub",
    }
    try:
        status, answer = call("PATCH", f"/api/v1/nodes/{STOLEN}", {"metadata": {"labels": mine}})
        assert status == 200, answer
        time.sleep(3)
        routers = get("pods", "-n", "tailscale", "-l", "app=subnet-router")["items"]
        assert sorted(pod["spec"]["nodeName"] for pod in routers) == ["hub-gw-1", "hub-gw-2"]
        wanted = get("daemonset", "-n", "tailscale", "subnet-router")["status"]["desiredNumberScheduled"]
        assert wanted == 2
    finally:
        back: Json = {key: before.get(key) for key in mine}
        kubectl("patch", "node", STOLEN, "--type=merge", "-p", json.dumps({"metadata": {"labels": back}}))


@pytest.mark.parametrize("secret", ["subnet-router-keys", "subnet-router-hub-gw-1", "subnet-router-hub-gw-2"])
def test_secrets_of_the_hubs_gateways_stay_closed(dev: Stand, secret: str) -> None:
    assert get("secret", "-n", "tailscale", secret)["metadata"]["name"] == secret
    status, answer = call("GET", f"/api/v1/namespaces/tailscale/secrets/{secret}")
    assert (status, answer.get("data")) == (403, None)


@pytest.mark.parametrize("path", ["/api/v1/secrets", "/api/v1/namespaces/tailscale/secrets"])
def test_secrets_cannot_be_listed(dev: Stand, path: str) -> None:
    status, answer = call("GET", path)
    assert (status, answer.get("items")) == (403, None)


def test_another_nodes_object_cannot_be_changed(dev: Stand) -> None:
    status, answer = call("PATCH", "/api/v1/nodes/gpu-b", {"metadata": {"labels": {"mine": "yes"}}})
    assert status == 403, answer
