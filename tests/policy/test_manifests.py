"""Where rules find gateways: in resources, in texts of every kind, and not in what is none."""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.rules import RULES
from policy.rules.gateways import Gateway, stack_of
from policy.rules.texts import workload_documents
from tests.policy.judge import UNKNOWN, judge, resource
from tests.policy.workloads import (
    GPU_ROUTES,
    HUB_ROUTES,
    ROUTES,
    config_map,
    daemon_set,
    machine,
    pod,
    script,
)

YAML = yaml.safe_dump(pod())


def packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode())).decode()


def cloud_init(content: str, encoding: str = "") -> str:
    kind = f"    encoding: {encoding}\n" if encoding else ""
    body = textwrap.indent(content, "      ")
    return f"#cloud-config\nwrite_files:\n  - path: /a.yaml\n{kind}    content: |\n{body}\nruncmd:\n  - [reboot]\n"


TEXTS = {
    "a here-document": script(pod()),
    "the file itself": YAML,
    "the second of several documents": f"apiVersion: v1\nkind: Namespace\n---\n{YAML}---\nkind: Service\n",
    "indented in a function": textwrap.indent(f"cat <<EOF\n{YAML}EOF\n", "  "),
    "cloud-init": cloud_init(YAML),
    "cloud-init in base64": cloud_init(
        "\n".join(textwrap.wrap(base64.b64encode(YAML.encode()).decode(), 76)), "b64"
    ),
    "cloud-init in gzip": cloud_init("\n".join(textwrap.wrap(packed(YAML), 76)), "gz+b64"),
    "user data as AWS takes it": base64.b64encode(script(pod()).encode()).decode(),
    "a pipe": f"echo {packed(YAML)} | base64 -d | gunzip > /a.yaml\n",
    "JSON": f"echo '{json.dumps(pod())}' > /a.json",
    "JSON in lines": "cat <<EOF\n" + json.dumps(pod(), indent=2) + "\nEOF\n",
    "with Windows line ends": script(pod()).replace("\n", "\r\n"),
    "without an end": script(pod()).partition("EOF\nsystemctl")[0],
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_manifest_is_found_in(name: str) -> None:
    (found,) = workload_documents(TEXTS[name])
    assert found["spec"] == pod()["spec"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tailscale up --advertise-routes=10.1.0.0/24",
        "kind: Pod",
        "kind: Podcast\nname: tailscale\n",
        "# kind: Pod\n# image: tailscale/tailscale\n",
        YAML.replace("kind: Pod", "kind: Service"),
        "kind: Pod\nspec: [tailscale\n",
        "kind: Pod\nspec: &a {tailscale: *a}\n",
    ],
)
def test_what_is_no_manifest_is_left_alone(text: str) -> None:
    assert [each for each in workload_documents(text) if "spec" in each] == []


NOISE = random.Random(7)
HOSTILE: dict[str, Callable[[int], str]] = {
    "words": lambda size: "tailscale kind: " * (size // 16),
    "kinds": lambda size: "kind: Pod\n tailscale: 1\n" * (size // 24),
    "deeper and deeper": lambda size: (
        "\n".join(f"{' ' * (at % 300)}kind: Pod" for at in range(size // 160)) + "tailscale"
    ),
    "open lists": lambda size: "tailscale: 1\nkind: Pod\na: " + "[" * size,
    "open braces": lambda size: "{" * (size // 2) + '"kind": "Pod" tailscale' + "{" * (size // 2),
    "JSON kinds": lambda size: '{"kind": "Pod"' * (size // 14) + "tailscale",
    "bytes": lambda size: base64.b64encode(NOISE.randbytes(size * 3 // 4)).decode(),
    "a bomb": lambda size: base64.b64encode(gzip.compress(b"a" * size * 100)).decode(),
    "bytes in lines": lambda size: "\n".join(
        textwrap.wrap(base64.b64encode(NOISE.randbytes(size * 3 // 4)).decode(), 76)
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_text_of_a_hundred_kilobytes_costs_less_than_half_a_second(name: str) -> None:
    text = HOSTILE[name](100_000)
    started = time.process_time()
    workload_documents(text)
    assert time.process_time() - started < 0.5


def test_a_thousand_ordinary_scripts_cost_less_than_two_seconds() -> None:
    line = "install -m 0644 -o root /dev/stdin /etc/systemd/system/kubelet.service.d/10-node.conf\n"
    scripts = [f"# machine {number}\n" + line * (100_000 // len(line)) for number in range(1000)]
    started = time.process_time()
    assert not any(workload_documents(text) for text in scripts)
    assert time.process_time() - started < 2


PIECES = st.sampled_from(
    [
        "kind: Pod",
        "tailscale",
        "spec:",
        "  ",
        "- ",
        "\n",
        "{",
        "}",
        "[",
        '"kind": "Pod"',
        ":",
        "---\n",
        "EOF",
        "&a *a",
        "A" * 64,
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES | st.text(max_size=8), max_size=40))
def test_any_text_is_read_without_an_error(pieces: list[str]) -> None:
    for document in workload_documents("".join(pieces)):
        assert document["kind"] == "Pod"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just(UNKNOWN),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
PLACES = st.sampled_from(["metadata", "spec", "containers", "env", "command", "volumes", "nodeSelector"])


OTHER = machine()
REMEDY = re.compile("write|give|add|remove", re.IGNORECASE)


@settings(max_examples=100, deadline=None)
@given(PLACES, JUNK)
def test_a_gateway_with_anything_in_it_is_judged_or_said_to_be_unjudged(place: str, junk: Any) -> None:

    manifest = pod()
    holders = [manifest, manifest["spec"], manifest["spec"]["containers"][0]]
    for holder in holders:
        if place in holder:
            holder[place] = junk
            break
    odd = resource("kubernetes:core/v1:Pod", "odd", manifest)
    for rule in RULES:
        for message in judge(rule, odd, OTHER):
            assert "could not be judged" in message or REMEDY.search(message), message


def gateways(*resources: Any) -> list[Gateway]:
    return stack_of(resources).gateways


def test_gateways_are_found_in_resources_declarations_and_scripts() -> None:
    declared = resource("tailspan:components:GpuProviderRegion", "gpu", {"connectors": {"gpu-b": pod()}})
    found = gateways(daemon_set(), ROUTES, declared, machine())
    assert [str(each) for each in found] == [
        "gateway DaemonSet tailscale/router (kubernetes:apps/v1:DaemonSet router)",
        "gateway Pod tailscale/connector (tailspan:components:GpuProviderRegion gpu, input connectors.gpu-b)",
        "gateway Pod tailscale/gpu-a-connector (command:remote:Command gpu-a, input stdin)",
    ]
    assert [each.workload.static for each in found] == [False, True, True]
    assert [[routes.text for routes in each.routes] for each in found][1:] == [[GPU_ROUTES]] * 2


def test_a_script_below_a_component_that_declares_its_manifests_is_not_a_second_gateway() -> None:
    script_of_ours = machine()
    script_of_ours.urn = (
        "urn:pulumi:dev::tailspan::tailspan:components:GpuProviderRegion$command:remote:Command::gpu-a"
    )
    assert gateways(script_of_ours) == []


CONTAINER = {"name": "a", "image": "docker.io/tailscale/tailscale:v1.102.3"}
ADVERTISES = [{"name": "TS_ROUTES", "value": HUB_ROUTES}]


@pytest.mark.parametrize(
    ("container", "is_gateway"),
    [
        (CONTAINER | {"env": ADVERTISES}, True),
        (CONTAINER | {"env": [{"name": "TS_EXTRA_ARGS", "value": "--advertise-routes=10.0.0.0/24"}]}, True),
        (CONTAINER | {"command": ["sh", "-c", "export TS_ROUTES=10.0.0.0/24; containerboot"]}, True),
        ({"image": "debian:12", "args": ["tailscaled & tailscale up --advertise-routes 10.0.0.0/24"]}, True),
        ({"image": UNKNOWN, "env": ADVERTISES}, True),
        (CONTAINER | {"env": [{"name": "TS_ROUTES", "value": UNKNOWN}]}, True),
        # Sidecars, operators, exporters and others that only speak of Tailscale.
        (CONTAINER, False),
        (CONTAINER | {"env": [{"name": "TS_DEST_IP", "value": "10.0.0.1"}]}, False),
        ({"image": "ghcr.io/tailscale/k8s-operator:v1.102.3", "env": []}, False),
        ({"image": "example.com/tailscale-exporter:1", "env": ADVERTISES}, False),
        ({"image": UNKNOWN, "env": UNKNOWN}, False),
    ],
)
def test_a_gateway_is_a_container_with_tailscale_that_advertises_routes(
    container: dict[str, Any], is_gateway: bool
) -> None:
    deployment = {"spec": {"template": {"spec": {"containers": [container]}}}}
    found = gateways(resource("kubernetes:apps/v1:Deployment", "d", deployment))
    assert bool(found) is is_gateway


def test_a_setting_is_found_wherever_it_was_written() -> None:
    values = {
        "A": "one",
        "B": "$(A)-two",
        "C": "$(NODE)",
        "D": {"configMapKeyRef": {"name": "routes", "key": "k"}},
    }
    (gateway,) = gateways(
        daemon_set("d", TS_ROUTES=HUB_ROUTES, **values),
        config_map(k="from the map"),
    )
    texts = {name: setting.text for name in (*values, "E") if (setting := gateway.setting(name))}
    assert texts == {"A": "one", "B": "one-two", "C": None, "D": "from the map"}


def test_the_last_of_two_equal_variables_and_the_shell_win() -> None:
    manifest = pod()
    manifest["spec"]["containers"][0]["env"].append({"name": "TS_ROUTES", "value": "10.9.0.0/24"})
    (gateway,) = gateways(machine(manifest=manifest))
    assert [routes.text for routes in gateway.routes] == ["10.9.0.0/24"]
    manifest["spec"]["containers"][0]["command"] = ["sh", "-c", "TS_ROUTES='10.8.0.0/24' containerboot"]
    (gateway,) = gateways(machine(manifest=manifest))
    assert [routes.text for routes in gateway.routes] == ["10.8.0.0/24"]


def test_a_stack_is_read_once_for_all_rules() -> None:
    resources = [machine(), daemon_set()]
    assert stack_of(resources) is stack_of(list(resources))
    assert stack_of(resources) is not stack_of([machine(), daemon_set()])
