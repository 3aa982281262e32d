"""The cloud region's gateways: which nodes run them, what they advertise and what their pod may read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from config.schema import StackConfig
from network.plan import plan_network
from tests.components.deploy import auth_key, deploy, deployed
from tests.components.recording import Recording
from tests.components.stacks import dev, elsewhere

ROUTER = "hub-subnet-router"
GATEWAYS = ["hub-gw-1", "hub-gw-2"]


@pytest.fixture
def router() -> Recording:
    return deployed(dev())


@pytest.fixture
def pod(router: Recording) -> dict[str, Any]:
    return pod_of(router)


@cache
def public_ca() -> Recording:
    return deploy(dev(), ca=None)


def pod_of(recording: Recording) -> dict[str, Any]:
    pod: dict[str, Any] = recording[f"{ROUTER}-daemonset"].inputs["spec"]["template"]["spec"]
    return pod


def env_of(pod: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in pod["containers"][0]["env"]}


def declared_labels(recording: Recording) -> Iterator[tuple[str, dict[str, str]]]:
    """Each node's labels, as its join declares them."""
    for name, command in recording.of("local:Command").items():
        if name.endswith("-join"):
            node = json.loads(command.secret("stdin"))["node"]
            yield node["name"], node["labels"]


def test_a_kubelet_cannot_attract_the_pod_by_labelling_its_node(pod: dict[str, Any]) -> None:
    # NodeRestriction refuses a kubelet labels under this prefix; every other prefix of ours is free to it.
    assert pod["nodeSelector"]
    assert all(key.startswith("node-restriction.kubernetes.io/") for key in pod["nodeSelector"])


def test_the_pod_runs_on_exactly_the_regions_gateways(router: Recording, pod: dict[str, Any]) -> None:
    selected = [
        name for name, labels in declared_labels(router) if pod["nodeSelector"].items() <= labels.items()
    ]
    assert sorted(selected) == GATEWAYS


def test_the_pod_is_on_the_hosts_network_and_stays_through_taints_and_outages(pod: dict[str, Any]) -> None:
    assert pod["hostNetwork"] is True
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["priorityClassName"] == "system-node-critical"
    # With cluster DNS a gateway would wait for pods that wait for gateways.
    assert pod["dnsPolicy"] == "Default"
    assert pod["hostAliases"] == [{"ip": "10.96.0.1", "hostnames": ["kubernetes.default.svc"]}]


def test_each_gateway_advertises_its_own_prefixes_without_a_blank(router: Recording) -> None:
    config = router[f"{ROUTER}-config"].inputs["data"]
    for gateway in plan_network(dev()).hub.gateways:
        routes = config[gateway.name]
        assert not any(character.isspace() for character in routes)
        assert routes.split(",") == [str(prefix) for prefix in gateway.advertise]
    assert config["hub-gw-1"] != config["hub-gw-2"]


def test_every_host_has_a_state_secret_of_its_own_that_only_the_pod_writes(
    router: Recording, pod: dict[str, Any]
) -> None:
    assert env_of(pod)["TS_KUBE_SECRET"] == "subnet-router-$(NODE_NAME)"
    for name in GATEWAYS:
        secret = router[f"{name}-state"]
        assert secret.inputs["metadata"]["name"] == f"subnet-router-{name}"
        assert "data" not in secret.inputs
        assert "stringData" not in secret.inputs
        assert set(secret.request.ignoreChanges) == {"data", "stringData"}


def test_the_role_names_the_state_secrets_and_allows_neither_create_nor_list(router: Recording) -> None:
    rules = router[f"{ROUTER}-role"].inputs["rules"]
    secrets = [rule for rule in rules if "secrets" in rule["resources"] or "*" in rule["resources"]]
    assert [sorted(rule["resourceNames"]) for rule in secrets] == [
        ["subnet-router-hub-gw-1", "subnet-router-hub-gw-2"]
    ]
    assert {verb for rule in secrets for verb in rule["verbs"]} == {"get", "update", "patch"}
    assert {resource for rule in rules for resource in rule["resources"]} == {"secrets", "events"}


def test_a_gateways_key_comes_from_a_secret_that_the_pods_role_does_not_name(
    router: Recording, pod: dict[str, Any]
) -> None:
    keys = router[f"{ROUTER}-keys"]
    assert keys.secret("stringData") == {name: auth_key(name) for name in GATEWAYS}
    assert keys.inputs["metadata"]["name"] == "subnet-router-keys"
    volume = next(volume for volume in pod["volumes"] if volume["name"] == "keys")
    assert volume["secret"]["secretName"] == "subnet-router-keys"
    mount = next(mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "keys")
    assert env_of(pod)["TS_AUTHKEY"] == f"file:{mount['mountPath']}/$(NODE_NAME)"


def test_the_container_keeps_source_addresses_and_needs_its_key_once(pod: dict[str, Any]) -> None:
    env = env_of(pod)
    assert "--snat-subnet-routes=false" in env["TS_EXTRA_ARGS"].split()
    assert "--accept-routes" in env["TS_EXTRA_ARGS"].split()
    assert (env["TS_AUTH_ONCE"], env["TS_ACCEPT_DNS"], env["PORT"]) == ("true", "false", "41641")
    assert env["TS_LOCAL_ADDR_PORT"].startswith("127.0.0.1:")


def test_the_node_name_is_known_before_the_variables_that_use_it(pod: dict[str, Any]) -> None:
    env = pod["containers"][0]["env"]
    users = [index for index, entry in enumerate(env) if "$(NODE_NAME)" in entry.get("value", "")]
    assert [entry["name"] for entry in env].index("NODE_NAME") < min(users)


def test_pods_are_replaced_one_at_a_time_and_when_their_routes_change(router: Recording) -> None:
    spec = router[f"{ROUTER}-daemonset"].inputs["spec"]
    assert spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 1

    def digest(recording: Recording) -> str:
        template = recording[f"{ROUTER}-daemonset"].inputs["spec"]["template"]
        return str(template["metadata"]["annotations"]["tailspan.dev/config"])

    # Another CA, another configuration.
    assert digest(public_ca()) != digest(router)


def test_the_pods_start_after_all_that_they_read(router: Recording) -> None:
    needed = {f"{ROUTER}-{part}" for part in ("keys", "config", "account", "role", "binding")}
    needed |= {f"{name}-state" for name in GATEWAYS} | {f"{name}-join" for name in GATEWAYS}
    assert needed <= router.before(f"{ROUTER}-daemonset")


@pytest.mark.parametrize(
    ("config", "arguments"),
    [
        # headscale takes the tag from the key, and refuses to hear it twice.
        (dev(), {"--login-server=https://198.51.100.2"}),
        (elsewhere(), {"--advertise-tags=tag:tailspan-hub"}),
    ],
    ids=["headscale", "tailscale"],
)
def test_the_tag_is_advertised_where_the_control_server_wants_it(
    config: StackConfig, arguments: set[str]
) -> None:
    given = set(env_of(pod_of(deployed(config)))["TS_EXTRA_ARGS"].split())
    assert {argument for argument in given if "login-server" in argument or "tags" in argument} == arguments


def test_a_private_ca_is_mounted_and_a_public_one_needs_nothing(pod: dict[str, Any]) -> None:
    mount = next(mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "ca")
    assert env_of(pod)["SSL_CERT_FILE"] == f"{mount['mountPath']}/ca.crt"
    public = pod_of(public_ca())
    assert "SSL_CERT_FILE" not in env_of(public)
    assert "ca" not in {volume["name"] for volume in public["volumes"]}
