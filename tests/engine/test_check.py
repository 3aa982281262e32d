"""Inputs that cannot work are refused before anything happens, with the path and what to write."""

from __future__ import annotations

from typing import Any

import pytest

from lab.plugins import command, kubernetes, lab, tailscale
from lab.plugins.base import Package
from lab.plugins.values import UNKNOWN, Secret, decode
from tests.engine.bench import Aborted, Plugin, urn

PLUGINS: dict[str, Package] = {
    "command": command.package,
    "kubernetes": kubernetes.package,
    "tailscale": tailscale.package,
    "lab": lab.package,
}
ACL, KEY = "tailscale:index/acl:Acl", "tailscale:index/tailnetKey:TailnetKey"
NAMESPACE, SECRET = "kubernetes:core/v1:Namespace", "kubernetes:core/v1:Secret"
DAEMONSET, ROLE_BINDING = (
    "kubernetes:apps/v1:DaemonSet",
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding",
)


@pytest.mark.parametrize(
    ("token", "inputs", "reason"),
    [
        ("command:local:Command", {"creat": "x"}, "creat is not a known property; did you mean create?"),
        ("command:local:Command", {"environment": {"A": 1}}, "environment.A got a number, wants a string"),
        ("command:local:Command", {"triggers": "now"}, "triggers got a string, wants a list"),
        ("command:remote:Command", {"create": "x"}, "connection is required"),
        (
            "command:remote:Command",
            {"connection": {"host": "h", "port": "22"}},
            "connection.port got a string, wants a whole number",
        ),
        (
            "command:remote:Command",
            {"connection": {"host": "h", "proxy": {}}},
            "connection.proxy.host is required",
        ),
        (
            "lab:index:Network",
            {"name": "a", "cidr": "10.0.0.0/24", "lan": "mesh"},
            'lan got a string, wants "l2" or "routed"',
        ),
        ("lab:index:Machine", {"name": "a", "network": "n", "role": "gateway"}, "nodeIp is required"),
        (ACL, {"acl": "{"}, "acl is neither JSON nor HuJSON"),
        (KEY, {"tags": ["hub"]}, 'tags[0] got "hub", write "tag:hub"'),
        (NAMESPACE, {"apiVersion": "v2"}, 'apiVersion got "v2", a kubernetes:core/v1:Namespace has "v1"'),
        (
            NAMESPACE,
            {"metadata": {"namespace": "x"}},
            "metadata.namespace a Namespace belongs to no namespace",
        ),
        (NAMESPACE, {"metdata": {}}, "metdata is not a known property; did you mean metadata?"),
        (DAEMONSET, {"spec": {"selector": {}}}, "spec.template is required"),
    ],
)
def test_a_wrong_input_is_named(token: str, inputs: dict[str, Any], reason: str) -> None:
    _, reasons = Plugin(PLUGINS[token.split(":")[0]]).check(token, inputs)
    assert any(text.startswith(reason) for text in reasons), reasons


@pytest.mark.parametrize("name", PLUGINS)
def test_an_unknown_type_names_the_known_ones(name: str) -> None:
    with pytest.raises(Aborted, match=rf"no resource type {name}:index:Nonsense\. It knows: {name}:"):
        Plugin(PLUGINS[name]).check(f"{name}:index:Nonsense", {})


def test_an_unknown_function_names_the_known_ones() -> None:
    with pytest.raises(
        Aborted,
        match=r"no function tailscale:index/getUser:getUser\. It knows: tailscale:index/getAcl:getAcl",
    ):
        Plugin(tailscale.package).Invoke(tok="tailscale:index/getUser:getUser", args={})


def test_what_is_not_known_yet_passes() -> None:
    inputs = {"create": UNKNOWN, "environment": UNKNOWN, "stdin": Secret(UNKNOWN)}
    assert Plugin(command.package).check("command:local:Command", inputs) == (inputs, [])


def test_a_check_keeps_every_secret_a_secret() -> None:
    inputs = {"metadata": {"name": "n"}, "stringData": Secret({"token": "abc"}), "type": "Opaque"}
    checked, reasons = Plugin(kubernetes.package).check(SECRET, inputs)
    assert reasons == []
    assert checked["stringData"] == Secret({"token": "abc"})
    assert (checked["apiVersion"], checked["kind"], checked["metadata"]["namespace"]) == (
        "v1",
        "Secret",
        "default",
    )


def test_an_object_without_a_name_gets_one_and_keeps_it() -> None:
    plugin = Plugin(kubernetes.package)
    first, _ = plugin.check(NAMESPACE, {})
    assert first["metadata"]["name"].startswith("thing-")
    assert len(first["metadata"]["name"]) == len("thing-") + 7
    later = decode(plugin.Check(urn=urn(NAMESPACE), news={}, olds=first, randomSeed=b"another").inputs)
    assert later["metadata"]["name"] == first["metadata"]["name"]


def diff(token: str, old: dict[str, Any], new: dict[str, Any]) -> Any:
    return Plugin(PLUGINS[token.split(":")[0]]).Diff(
        urn=urn(token), old_inputs=old, news=new, olds={}, id="x"
    )


BINDING: dict[str, Any] = {
    "metadata": {"name": "a", "namespace": "n"},
    "roleRef": {"kind": "Role", "name": "r", "apiGroup": "g"},
}
SET: dict[str, Any] = {
    "metadata": {"name": "a", "namespace": "n"},
    "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {"spec": {}}},
}
MACHINE = {"name": "a", "network": "n", "role": "gateway", "nodeIp": "10.0.0.1", "generation": 1}


@pytest.mark.parametrize(
    ("token", "old", "change", "replaces"),
    [
        (SECRET, {"metadata": {"name": "a"}, "data": {"k": "1"}}, {"data": {"k": "2"}}, []),
        (
            SECRET,
            {"metadata": {"name": "a"}, "data": {"k": "1"}, "immutable": True},
            {"data": {"k": "2"}},
            ["data.k"],
        ),
        (SECRET, {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}, ["metadata.name"]),
        (SECRET, {"metadata": {"name": "a"}}, {"metadata": {"name": "a", "labels": {"x": "y"}}}, []),
        (ROLE_BINDING, BINDING, {"roleRef": {**BINDING["roleRef"], "name": "s"}}, ["roleRef.name"]),
        (
            DAEMONSET,
            SET,
            {"spec": {**SET["spec"], "selector": {"matchLabels": {"app": "b"}}}},
            ["spec.selector.matchLabels.app"],
        ),
        (DAEMONSET, SET, {"spec": {**SET["spec"], "template": {"spec": {"hostNetwork": True}}}}, []),
        ("lab:index:Machine", MACHINE, {"generation": 2}, ["generation"]),
        ("lab:index:Network", {"name": "a", "cidr": "c", "lan": "l2"}, {"nat": "hard"}, []),
        (
            "lab:index:Firewall",
            {"network": "a", "target": "all", "ingress": []},
            {"ingress": [{"protocol": "udp"}]},
            [],
        ),
        ("command:local:Command", {"create": "a", "triggers": [1]}, {"triggers": [2]}, ["triggers[0]"]),
        ("command:local:Command", {"create": "a"}, {"create": "b"}, []),
        (KEY, {"tags": ["tag:a"]}, {"tags": ["tag:b"]}, ["tags[0]"]),
        (ACL, {"acl": "{}"}, {"acl": "{ }"}, []),
    ],
)
def test_a_change_replaces_only_what_cannot_be_updated(
    token: str, old: dict[str, Any], change: dict[str, Any], replaces: list[str]
) -> None:
    answer = diff(token, old, {**old, **change})
    assert list(answer.replaces) == replaces
    assert answer.changes == answer.DIFF_SOME


def test_a_fixed_name_is_freed_before_it_is_taken_again() -> None:
    assert diff(
        ROLE_BINDING, BINDING, {**BINDING, "roleRef": {"kind": "Role", "name": "s", "apiGroup": "g"}}
    ).deleteBeforeReplace
    assert not diff(SECRET, {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}).deleteBeforeReplace


def test_ignored_changes_are_ignored() -> None:
    answer = Plugin(command.package).Diff(
        urn=urn("command:local:Command"),
        old_inputs={"create": "a"},
        news={"create": "b"},
        ignoreChanges=["create"],
        id="x",
    )
    assert answer.changes == answer.DIFF_NONE


def test_another_authority_is_another_cluster_and_another_address_is_not() -> None:
    def config(authority: str, server: str) -> dict[str, str]:
        cluster = f"{{server: {server}, certificate-authority-data: {authority}}}"
        return {
            "kubeconfig": f"{{contexts: [{{name: c, context: {{cluster: k}}}}], current-context: c, "
            f"clusters: [{{name: k, cluster: {cluster}}}]}}"
        }

    def replaces(old: dict[str, str], new: dict[str, str]) -> list[str]:
        return list(Plugin(kubernetes.package).DiffConfig(old_inputs=old, news=new).replaces)

    assert replaces(config("QQ==", "https://a"), config("QQ==", "https://b")) == []
    assert replaces(config("QQ==", "https://a"), config("Qg==", "https://a")) == ["kubeconfig"]


@pytest.mark.parametrize("name", PLUGINS)
def test_a_stack_that_is_not_the_labs_is_refused(name: str) -> None:
    plugin = Plugin(PLUGINS[name])
    plugin.servicer.mode = ""
    with pytest.raises(Aborted, match=rf"pulumi-resource-{name} on PATH is tailspan's stand-in"):
        plugin.Configure(args={})
    with pytest.raises(Aborted, match="PULUMI_IGNORE_AMBIENT_PLUGINS=1"):
        plugin.CheckConfig(news={})


@pytest.mark.parametrize("method", ["Create", "Update", "Delete"])
def test_an_offline_preview_changes_nothing(method: str) -> None:
    plugin = Plugin(command.package)
    plugin.servicer.mode = "offline"
    with pytest.raises(Aborted, match="offline preview, nothing may be changed"):
        getattr(plugin, method)(
            urn=urn("command:local:Command"),
            id="x",
            properties={},
            news={},
            old_inputs={"delete": "touch /never"},
        )
