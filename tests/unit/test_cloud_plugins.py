"""What the preview-only plugins for clouds read out of the installed SDKs, and how they judge inputs by it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi.runtime import rpc

from lab.engine_clouds import PREVIEW_ONLY, refuse_real_clouds
from lab.engine_files import EngineError, Files
from lab.plugins import aws, gcp
from lab.plugins.base import PluginError
from lab.plugins.cloud import kinds
from lab.plugins.cloud.replaces import entries, forces_replacement
from lab.plugins.cloud.resource import CloudResource
from lab.plugins.cloud.schema import LEAVES
from lab.plugins.cloud.sdk import Sdk
from lab.plugins.schema import Kind, ListOf, MapOf, Record, problems
from lab.plugins.values import SIGNATURE, UNKNOWN
from tests.cloud_classes import compared
from tests.engine.bench import Aborted, Plugin, call, urn
from tests.stacks import ROOT, put, stack_data

PACKAGES = {"gcp": gcp.package, "aws": aws.package}


def resource(token: str) -> CloudResource:
    found = PACKAGES[token.split(":")[0]].resources[token]
    assert isinstance(found, CloudResource)
    return found


def said(token: str, **inputs: Any) -> list[str]:
    return [f"{problem.path} {problem.reason}" for problem in problems(resource(token).schema, inputs)]


def required(record: Kind) -> set[str]:
    assert isinstance(record, Record)
    return {name[:-1] for name in record.fields if name.endswith("!")}


# -- what is read


@pytest.mark.parametrize(
    ("token", "demanded", "some"),
    [
        (
            "gcp:compute/instance:Instance",
            {"bootDisk", "machineType", "networkInterfaces"},
            {"canIpForward": "boolean", "tags": ListOf("string"), "metadata": MapOf("string")},
        ),
        ("gcp:compute/network:Network", set(), {"autoCreateSubnetworks": "boolean", "mtu": "integer"}),
        (
            "gcp:compute/firewall:Firewall",
            {"network"},
            {"sourceRanges": ListOf("string"), "priority": "integer"},
        ),
        (
            "gcp:compute/forwardingRule:ForwardingRule",
            set(),
            {"allPorts": "boolean", "ports": ListOf("string")},
        ),
        (
            "gcp:compute/regionBackendService:RegionBackendService",
            set(),
            {"healthChecks": "string", "connectionDrainingTimeoutSec": "integer"},
        ),
        (
            "gcp:container/cluster:Cluster",
            set(),
            {"initialNodeCount": "integer", "datapathProvider": "string"},
        ),
        ("aws:ec2/instance:Instance", set(), {"sourceDestCheck": "boolean", "userData": "string"}),
        ("aws:ec2/securityGroup:SecurityGroup", set(), {"vpcId": "string", "tags": MapOf("string")}),
        ("aws:ec2/route:Route", {"routeTableId"}, {"networkInterfaceId": "string"}),
        ("aws:eks/cluster:Cluster", {"roleArn", "vpcConfig"}, {"version": "string"}),
        ("aws:iam/role:Role", {"assumeRolePolicy"}, {"maxSessionDuration": "integer"}),
    ],
)
def test_inputs_have_the_sdks_names_types_and_demands(
    token: str, demanded: set[str], some: dict[str, Kind]
) -> None:
    schema = resource(token).schema
    assert required(schema) == demanded
    assert {name: schema.names()[name] for name in some} == some


def test_objects_and_lists_of_objects_are_read_with_what_they_hold() -> None:
    names = resource("gcp:compute/instance:Instance").schema.names()
    interfaces = names["networkInterfaces"]
    assert isinstance(interfaces, ListOf)
    assert isinstance(interfaces.item, Record)
    assert isinstance(interfaces.item.names()["accessConfigs"], ListOf)
    assert required(resource("aws:eks/cluster:Cluster").schema.names()["vpcConfig"]) == {"subnetIds"}


@pytest.mark.parametrize(
    ("package", "folders", "types"),
    [("gcp", {"serviceaccount", "projects"}, 12), ("aws", {"iam", "alb"}, 35)],
)
def test_what_is_read_equals_the_imported_classes(package: str, folders: set[str], types: int) -> None:
    """Types of every part of both SDKs are compared in tests/engine/test_cloud_sweep.py."""
    # In a process of its own: a class imported past its lazy package hides the package's others.
    command = [sys.executable, "-m", "tests.cloud_classes", package, "1", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    count, _, differences = done.stdout.partition("\n")
    assert (done.returncode, differences.strip()) == (0, ""), done.stderr[-2000:]
    assert int(count) >= types


def test_the_comparison_finds_what_is_read_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LEAVES, "_builtins.bool", "string")
    _, differences = compared("gcp", {"serviceaccount"})
    assert "AccountArgs.disabled: is <class 'bool'>, read was string" in "\n".join(differences)


def test_every_type_of_both_sdks_has_a_source() -> None:
    for name in PACKAGES:
        sdk = Sdk(name)
        tokens = sorted(sdk.tokens)
        assert len(tokens) > 1000
        for token in tokens[::60]:
            assert sdk.resource(token).inputs.endswith("Args")


def test_reading_a_type_imports_nothing_of_the_sdk() -> None:
    code = (
        "import sys; from lab.plugins import aws, gcp;"
        "list(gcp.package.resources['gcp:compute/instance:Instance'].schema.fields);"
        "list(gcp.package.config.fields);"
        "list(aws.package.resources['aws:ec2/instance:Instance'].schema.fields);"
        "print([name for name in sys.modules if name.startswith('pulumi')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- how inputs are judged

RIGHT: dict[str, Any] = {
    "machineType": "e2-small",
    "bootDisk": {"initializeParams": {"image": "debian-cloud/debian-12"}},
    "networkInterfaces": [{"network": "default", "accessConfigs": [{}]}],
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"machineType": UNKNOWN, "bootDisk": {"initializeParams": UNKNOWN}}, []),
        ({"networkInterfaces": [{"network": UNKNOWN}, UNKNOWN]}, []),
        ({"bootDisk": {}}, []),
        ({"machineTyp": "e2"}, ["machineTyp is not a known property; did you mean machineType?"]),
        ({"can_ip_forward": True}, ["can_ip_forward is not a known property; did you mean canIpForward?"]),
        (
            {"networkInterfaces": [{"access_configs": []}]},
            ["networkInterfaces[0].access_configs is not a known property; did you mean accessConfigs?"],
        ),
        ({"canIpForward": "true"}, ["canIpForward got a string, wants true or false"]),
        ({"machineType": None}, ["machineType is required"]),
        ({"bootDisk": "debian"}, ["bootDisk got a string, wants an object"]),
        ({"tags": "gateway"}, ["tags got a string, wants a list"]),
        ({"labels": {"size": 4}}, ["labels.size got a number, wants a string"]),
        (
            {"bootDisk": {"initializeParams": {"size": 10.5}}},
            ["bootDisk.initializeParams.size got a number, wants a whole number"],
        ),
    ],
)
def test_an_instance_is_judged(changed: dict[str, Any], expected: list[str]) -> None:
    assert said("gcp:compute/instance:Instance", **{**RIGHT, **changed}) == expected


def test_a_closed_list_of_choices_is_kept_and_an_open_one_warns() -> None:
    assert said("aws:alb/loadBalancer:LoadBalancer", loadBalancerType="networc") == [
        'loadBalancerType got a string, wants "application" or "network"'
    ]
    warnings: list[str] = []

    def log(message: str, *, warning: bool = False, passing: bool = False) -> None:
        warnings.append(message)

    logging = replace(call(), log=log)
    for size in ("t3.medium", "t3.mediun", "x99.colossal", UNKNOWN):
        inputs = {"instanceType": size}
        assert said("aws:ec2/instance:Instance", **inputs) == []
        resource("aws:ec2/instance:Instance").check(logging, inputs, {})
    version = Sdk("aws").version
    assert warnings == [
        f'instanceType: pulumi_aws {version} does not know "t3.mediun". Did you mean "t3.medium"?'
    ]


def test_alternatives_are_judged_by_the_one_that_was_meant() -> None:
    token = "aws:iam/role:Role"
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    assert said(token, assumeRolePolicy="{}") == []
    assert said(token, assumeRolePolicy=document) == []
    assert said(token, assumeRolePolicy=5) == ["assumeRolePolicy got a number, wants a string or an object"]
    wrong = {**document, "Statement": [{**statement, "Effect": "Permit"}]}
    (problem,) = said(token, assumeRolePolicy=wrong)
    assert problem.startswith('assumeRolePolicy.Statement[0].Effect got a string, wants "Allow" or "Deny"')


def test_files_are_told_apart() -> None:
    token = "aws:lambda/function:Function"
    archive, asset = {SIGNATURE: kinds.ARCHIVE, "path": "x"}, {SIGNATURE: kinds.ASSET, "path": "x"}
    assert said(token, role="r", code=archive) == []
    assert said(token, role="r", code=asset) == ["code got an object, wants an archive (pulumi.Archive)"]
    assert said("gcp:storage/bucketObject:BucketObject", bucket="b", source=asset) == []
    assert said("gcp:storage/bucketObject:BucketObject", bucket="b", source="x") == [
        "source got a string, wants an asset (pulumi.Asset) or an archive (pulumi.Archive)"
    ]
    assert (rpc._special_asset_sig, rpc._special_archive_sig) == (kinds.ASSET, kinds.ARCHIVE)


@pytest.mark.parametrize(
    ("package", "settings", "expected"),
    [
        ("gcp", {"project": "acme", "region": "us-central1", "zone": "a", "scopes": '["a"]'}, []),
        ("gcp", {"batching": {"enableBatching": True}, "userProjectOverride": "true"}, []),
        ("gcp", {"credential": "{}"}, ["credential is not a known property; did you mean credentials?"]),
        ("gcp", {"scopes": "a,b"}, ["scopes got a string, wants a list (as JSON)"]),
        ("gcp", {"userProjectOverride": '"yes"'}, ["userProjectOverride got a string, wants true or false"]),
        ("aws", {"region": "eu-central-1", "profile": "p", "defaultTags": '{"tags": {"a": "b"}}'}, []),
        (
            "aws",
            {"defaultTags": '{"tag": {}}'},
            ["defaultTags.tag is not a known property; did you mean tags?"],
        ),
    ],
)
def test_a_providers_settings_are_judged(package: str, settings: dict[str, Any], expected: list[str]) -> None:
    plugin = Plugin(PACKAGES[package])
    plugin.servicer.mode = "offline"
    answer = plugin.CheckConfig(news=settings)
    assert [failure.reason for failure in answer.failures] == expected


def test_an_unknown_type_gets_the_nearest_names_and_not_all_of_them() -> None:
    with pytest.raises(Aborted) as caught:
        Plugin(aws.package).Check(urn=urn("aws:ec2/instanse:Instanse"), news={})
    assert "Did you mean aws:ec2/instance:Instance" in str(caught.value)
    assert len(str(caught.value)) < 300


# -- what a preview and a rehearsal answer


def test_a_preview_knows_what_is_stated_and_nothing_that_the_cloud_adds() -> None:
    planned = resource("gcp:compute/instance:Instance").planned(RIGHT, {})
    assert planned["machineType"] == "e2-small"
    assert planned["selfLink"] is UNKNOWN
    assert planned["networkInterfaces"][0]["network"] == "default"
    assert planned["networkInterfaces"][0]["accessConfigs"][0]["natIp"] is UNKNOWN
    # Nobody stated it, and not every instance has one.
    assert planned["serviceAccount"] is None


def test_an_update_keeps_what_the_cloud_answered() -> None:
    instance = resource("gcp:compute/instance:Instance")
    _, old = instance.rehearse(call(), RIGHT)
    planned = instance.planned({**RIGHT, "machineType": "e2-large"}, old)
    assert planned["machineType"] == "e2-large"
    assert planned["selfLink"] == old["selfLink"] == "rehearsed-selfLink"
    assert planned["networkInterfaces"] == old["networkInterfaces"]


def test_a_rehearsal_makes_up_values_of_the_right_types() -> None:
    _, outputs = resource("aws:eks/cluster:Cluster").rehearse(
        call(), {"roleArn": "r", "vpcConfig": {"subnetIds": []}}
    )
    assert outputs["identities"][0]["oidcs"][0]["issuer"] == "rehearsed-issuer"
    assert outputs["vpcConfig"]["subnetIds"] == []
    _, instance = resource("gcp:compute/instance:Instance").rehearse(call(), RIGHT)
    # An address that is nobody's (RFC 5737), because programs parse addresses.
    assert instance["networkInterfaces"][0]["accessConfigs"][0]["natIp"] == "192.0.2.1"
    assert instance["bootDisk"]["autoDelete"] is False


@pytest.mark.parametrize("method", ["Create", "Update", "Delete", "Read"])
@pytest.mark.parametrize("token", ["gcp:compute/network:Network", "aws:ec2/vpc:Vpc"])
def test_nothing_is_ever_made(method: str, token: str) -> None:
    plugin = Plugin(PACKAGES[token.split(":")[0]])
    with pytest.raises(Aborted, match=r"it only previews: nothing was made at .* the official plugin"):
        getattr(plugin, method)(urn=urn(token), id="x", properties={}, news={}, inputs={}, old_inputs={})


@pytest.mark.parametrize("verb", ["up", "refresh", "destroy", ""])
def test_a_provider_in_the_lab_is_refused_for_everything_but_a_preview(verb: str) -> None:
    plugin = Plugin(gcp.package)
    plugin.servicer.verb = verb
    with pytest.raises(Aborted, match="it only previews"):
        plugin.CheckConfig(news={"project": "acme"})
    plugin.servicer.verb = "preview"
    assert not plugin.CheckConfig(news={"project": "acme"}).failures


def test_a_function_would_ask_the_account() -> None:
    with pytest.raises(PluginError, match="gcp:compute/getImage:getImage asks the gcp account"):
        gcp.package.functions["gcp:compute/getImage:getImage"](call(), {})


# -- what a change replaces


def kinds_of_change(token: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    plugin = Plugin(PACKAGES[token.split(":")[0]])
    answer = plugin.Diff(urn=urn(token), old_inputs=old, news=new)
    return {path: ("replace" if path in answer.replaces else "update") for path in answer.detailedDiff}


@pytest.mark.parametrize(
    ("token", "old", "new", "expected"),
    [
        ("gcp:compute/instance:Instance", {"machineType": "a"}, {"machineType": "b"}, "update"),
        ("gcp:compute/instance:Instance", {"zone": "a"}, {"zone": "b"}, "replace"),
        # From the SDK's own documentation.
        ("gcp:compute/instance:Instance", {"hostname": "a"}, {"hostname": "b"}, "replace"),
        (
            "gcp:compute/instance:Instance",
            {"networkInterfaces": [{"accessConfigs": [{"natIp": "a"}]}]},
            {"networkInterfaces": [{"accessConfigs": [{"natIp": "b"}]}]},
            "update",
        ),
        (
            "gcp:compute/instance:Instance",
            {"networkInterfaces": [{}]},
            {"networkInterfaces": [{}, {"network": "n"}]},
            "replace",
        ),
        ("gcp:container/cluster:Cluster", {"network": "a"}, {"network": "b"}, "replace"),
        ("gcp:container/cluster:Cluster", {"resourceLabels": {"a": "b"}}, {"resourceLabels": {}}, "update"),
        ("aws:ec2/instance:Instance", {"sourceDestCheck": True}, {"sourceDestCheck": False}, "update"),
        ("aws:ec2/instance:Instance", {"userData": "a"}, {"userData": "b"}, "update"),
        ("aws:ec2/route:Route", {"networkInterfaceId": "a"}, {"networkInterfaceId": "b"}, "update"),
        ("aws:ec2/route:Route", {"destinationCidrBlock": "a"}, {"destinationCidrBlock": "b"}, "replace"),
        ("aws:ec2/route:Route", {"region": "a"}, {"region": "b"}, "replace"),
    ],
)
def test_a_change_updates_or_replaces(
    token: str, old: dict[str, Any], new: dict[str, Any], expected: str
) -> None:
    assert set(kinds_of_change(token, old, new).values()) == {expected}


def test_user_data_replaces_where_that_was_asked_for() -> None:
    change = kinds_of_change(
        "aws:ec2/instance:Instance",
        {"userData": "a", "userDataReplaceOnChange": True},
        {"userData": "b", "userDataReplaceOnChange": True},
    )
    assert change == {"userData": "replace"}


def test_a_thing_with_a_name_of_its_own_goes_before_its_successor_comes() -> None:
    network = resource("gcp:compute/network:Network")
    assert network.deletes_first({"name": "a"}, {"name": "a"})
    assert not network.deletes_first({"name": "a"}, {"name": "b"})
    assert not network.deletes_first({}, {})


@pytest.mark.parametrize(
    ("doc", "forces"),
    [
        ("A unique name. Changing this forces a new resource to be created.", True),
        ("The size. Forces replacement if changed.", True),
        ("Changing this property will force recreation of the resource.", True),
        ("Modifying this list will cause the instance to recreate.", True),
        ("Changing it does not force a new resource.", False),
        ("Changing it forces a new resource unless `allow_x` is set.", False),
        ("Deployment forces a new task deployment of the service.", False),
        ("The name of a resource.", False),
    ],
)
def test_only_a_plain_sentence_counts(doc: str, forces: bool) -> None:
    assert forces_replacement(doc) is forces


def test_the_table_of_replacements_names_inputs_that_exist() -> None:
    """After an update of an SDK a renamed input would silently lose its entry."""
    for token, paths in entries().items():
        if token.endswith(":*"):
            continue
        for path in paths:
            kind: Kind = resource(token).schema
            for name in path.partition("?")[0].replace("[]", "").split("."):
                while isinstance(kind, (ListOf, MapOf)):
                    kind = kind.item
                assert isinstance(kind, Record)
                assert name in kind.names(), f"{token}: {path}"
                kind = kind.names()[name]


# -- the launcher


def test_the_launcher_names_the_regions_that_it_cannot_bring_up(tmp_path: Path) -> None:
    data = put(
        stack_data(), "regions.0.provider", {"kind": "gcp", "project": "acme", "region": "us-central1"}
    )
    (tmp_path / "Pulumi.cloud.yaml").write_text(yaml.safe_dump({"config": {"tailspan:stack": data}}))
    name = data["regions"][0]["name"]
    with pytest.raises(
        EngineError, match=rf"Pulumi.cloud.yaml: region {name} is at gcp, which the lab can only"
    ):
        refuse_real_clouds(Files("cloud", tmp_path / "root", tmp_path))
    refuse_real_clouds(Files.of_lab("dev"))


def test_the_launcher_knows_every_plugin_that_can_only_preview() -> None:
    assert {name for name, package in PACKAGES.items() if package.preview_only} == set(PREVIEW_ONLY)
    for name in PREVIEW_ONLY:
        assert (ROOT / "lab/plugins/bin" / f"pulumi-resource-{name}").is_file()
