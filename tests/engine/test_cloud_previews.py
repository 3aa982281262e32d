"""Programs for real clouds through the real engine: previewed without an account, refused where they are wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp
import pytest

from lab.plugins.rehearsal import THROW_AWAY
from tests.engine.bench import Bench

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    # Loading a module of an SDK loads its deprecated types, too.
    pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning"),
]


def at_gcp() -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(
        provider=gcp.Provider("at-gcp", project="acme", region="us-central1", default_labels={"stack": "dev"})
    )


def at_aws() -> pulumi.ResourceOptions:
    tags = aws.ProviderDefaultTagsArgs(tags={"stack": "dev"})
    return pulumi.ResourceOptions(
        provider=aws.Provider(
            "at-aws", region="eu-central-1", allowed_account_ids=["123456789012"], default_tags=tags
        )
    )


def gcp_instance(opts: pulumi.ResourceOptions, **changed: Any) -> gcp.compute.Instance:
    network = gcp.compute.Network("net", auto_create_subnetworks=False, opts=opts)
    address = gcp.compute.Address("address", opts=opts)
    inputs: dict[str, Any] = {
        "machine_type": "e2-standard-4",
        "zone": "us-central1-a",
        "can_ip_forward": True,
        "boot_disk": {"initialize_params": {"image": "debian-cloud/debian-12", "size": 20}},
        "network_interfaces": [
            {"network": network.self_link, "access_configs": [{"nat_ip": address.address}]},
        ],
    }
    return gcp.compute.Instance("gateway", opts=opts, **{**inputs, **changed})


def right_at_gcp() -> None:
    opts = at_gcp()
    instance = gcp_instance(opts)
    gcp.compute.Firewall(
        "tunnel",
        network="net",
        allows=[gcp.compute.FirewallAllowArgs(protocol="udp", ports=["41641"])],
        source_ranges=["0.0.0.0/0"],
        opts=opts,
    )
    # Nobody knows it yet: a program that reads it must wait for the update.
    pulumi.export("ip", instance.network_interfaces[0].access_configs[0].nat_ip)


def right_at_aws() -> None:
    opts = at_aws()
    vpc = aws.ec2.Vpc("vpc", cidr_block="10.1.0.0/16", opts=opts)
    table = aws.ec2.RouteTable("table", vpc_id=vpc.id, opts=opts)
    group = aws.ec2.SecurityGroup(
        "tunnel",
        vpc_id=vpc.id,
        ingress=[{"protocol": "udp", "from_port": 41641, "to_port": 41641, "cidr_blocks": ["0.0.0.0/0"]}],
        opts=opts,
    )
    gateway = aws.ec2.Instance(
        "gateway",
        ami="ami-0123456789abcdef0",
        instance_type="t3.medium",
        source_dest_check=False,
        vpc_security_group_ids=[group.id],
        opts=opts,
    )
    aws.ec2.Route(
        "remote",
        route_table_id=table.id,
        destination_cidr_block="10.0.0.0/9",
        network_interface_id=gateway.primary_network_interface_id,
        opts=opts,
    )
    pulumi.export("ip", gateway.public_ip)


@pytest.mark.parametrize("program", [right_at_gcp, right_at_aws])
def test_a_right_program_is_previewed_without_an_account(
    bench: Bench, program: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = bench.run("preview", program, mode="offline")
    assert done.ok, done.text
    assert "create" in done.text


def raw(token: str, opts: Callable[[], pulumi.ResourceOptions], inputs: dict[str, Any]) -> Callable[[], None]:
    """Registered without the SDK's classes, whose constructors find some mistakes by themselves."""
    return lambda: (pulumi.CustomResource(token, "wrong", inputs, opts()), None)[1]


INSTANCE = {
    "machineType": "e2-small",
    "bootDisk": {"initializeParams": {"image": "debian-cloud/debian-12"}},
    "networkInterfaces": [{"network": "default"}],
}
WRONG: dict[str, tuple[Callable[[], None], str]] = {
    "gcp, unknown argument": (
        raw("gcp:compute/instance:Instance", at_gcp, {**INSTANCE, "canIpForwarding": True}),
        "canIpForwarding is not a known property; did you mean canIpForward?",
    ),
    "gcp, unknown nested argument": (
        lambda: (gcp_instance(at_gcp(), boot_disk={"initialize_params": {"disk_size": 20}}), None)[1],
        "bootDisk.initializeParams.disk_size is not a known property",
    ),
    "gcp, the program's spelling in a raw object": (
        raw("gcp:compute/instance:Instance", at_gcp, {**INSTANCE, "bootDisk": {"auto_delete": True}}),
        "bootDisk.auto_delete is not a known property; did you mean autoDelete?",
    ),
    "gcp, wrong type": (
        lambda: (gcp_instance(at_gcp(), can_ip_forward="yes"), None)[1],
        "canIpForward got a string, wants true or false",
    ),
    "gcp, wrong nested type": (
        lambda: (gcp_instance(at_gcp(), network_interfaces={"network": "default"}), None)[1],
        "networkInterfaces got an object, wants a list",
    ),
    "gcp, missing argument": (
        raw("gcp:compute/instance:Instance", at_gcp, {k: v for k, v in INSTANCE.items() if k != "bootDisk"}),
        "bootDisk is required",
    ),
    "gcp, missing nested argument": (
        lambda: (gcp.compute.Firewall("wrong", network="n", allows=[{"ports": ["1"]}], opts=at_gcp()), None)[
            1
        ],
        "allows[0].protocol is required",
    ),
    "gcp, unknown type": (
        raw("gcp:compute/instanse:Instanse", at_gcp, {}),
        "has no resource type gcp:compute/instanse:Instanse. Did you mean gcp:compute/instance:Instance",
    ),
    "gcp, unknown provider setting": (
        lambda: (pulumi.ProviderResource("gcp", "wrong", {"projekt": "acme"}), None)[1],
        "projekt is not a known property; did you mean project?",
    ),
    "aws, unknown argument": (
        raw("aws:ec2/instance:Instance", at_aws, {"instanceType": "t3.micro", "sourceDestCheque": False}),
        "sourceDestCheque is not a known property; did you mean sourceDestCheck?",
    ),
    "aws, unknown nested argument": (
        lambda: (
            aws.ec2.SecurityGroup(
                "wrong", ingress=[{"protocol": "udp", "from_port": 1, "to": 2}], opts=at_aws()
            ),
            None,
        )[1],
        "ingress[0].to is not a known property",
    ),
    "aws, wrong type": (
        lambda: (
            aws.ec2.Vpc("wrong", cidr_block="10.0.0.0/16", enable_dns_support="true", opts=at_aws()),
            None,
        )[1],
        "enableDnsSupport got a string, wants true or false",
    ),
    "aws, missing argument": (
        raw("aws:ec2/route:Route", at_aws, {"destinationCidrBlock": "10.0.0.0/9"}),
        "routeTableId is required",
    ),
    "aws, missing nested argument": (
        lambda: (
            aws.eks.Cluster(
                "wrong", role_arn="arn", vpc_config={"endpoint_public_access": True}, opts=at_aws()
            ),
            None,
        )[1],
        "vpcConfig.subnetIds is required",
    ),
    "aws, no such choice": (
        lambda: (aws.alb.LoadBalancer("wrong", load_balancer_type="networc", opts=at_aws()), None)[1],
        'loadBalancerType got a string, wants "application" or "network"',
    ),
    "aws, wrong provider setting": (
        lambda: (aws.Provider("wrong", allowed_account_ids="123456789012"), None)[1],
        "allowedAccountIds got a string, wants a list",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_makes_the_preview_fail_and_is_named(bench: Bench, case: str) -> None:
    program, message = WRONG[case]
    assert message in bench.fails("preview", program, mode="offline")


def test_a_data_source_would_ask_the_account(bench: Bench) -> None:
    def program() -> None:
        opts = pulumi.InvokeOptions(provider=aws.Provider("at-aws", region="eu-central-1"))
        aws.ec2.get_ami(most_recent=True, owners=["amazon"], opts=opts)

    text = bench.fails("preview", program, mode="offline")
    assert "aws:ec2/getAmi:getAmi asks the aws account, and an offline preview has none" in text


def test_in_the_lab_nothing_can_be_made_at_a_cloud(bench: Bench) -> None:
    def program() -> None:
        gcp.compute.Network("net", auto_create_subnetworks=False, opts=at_gcp())

    assert bench.run("preview", program).ok
    text = bench.fails("up", program)
    assert "it only previews: nothing was made at gcp" in text
    assert "pulumi plugin install resource gcp" in text
    types = [one["type"] for one in json.loads(bench.state()).get("resources") or []]
    assert not [one for one in types if one.startswith(("gcp:", "pulumi:providers:gcp"))]


def test_after_a_rehearsal_a_change_is_an_update_or_a_replacement(bench: Bench) -> None:
    bench.files.state_dir.mkdir(parents=True)
    (bench.files.state_dir / THROW_AWAY).touch()

    def program(**changed: Any) -> Callable[[], None]:
        return lambda: (gcp_instance(at_gcp(), **changed), None)[1]

    done = bench.run("up", program(), mode="rehearsal")
    assert done.ok, done.text
    assert "no changes" in bench.run("preview", program(), mode="offline").text
    bigger = bench.run("preview", program(machine_type="e2-standard-8"), mode="offline").text
    assert "~ update" in bigger
    assert "replace" not in bigger
    elsewhere = bench.run("preview", program(zone="us-central1-b"), mode="offline").text
    assert "replace" in elsewhere
    assert "gateway" in elsewhere


def test_a_stack_that_is_neither_lab_nor_preview_is_told_about_the_official_plugin(bench: Bench) -> None:
    text = bench.fails("preview", right_at_aws, mode="elsewhere")
    assert "pulumi-resource-aws on PATH is tailspan's stand-in" in text


def test_a_slip_in_a_list_that_is_not_complete_is_a_warning(bench: Bench) -> None:
    def program() -> None:
        aws.ec2.Instance("gateway", ami="ami-1", instance_type="t3.mediun", opts=at_aws())

    done = bench.run("preview", program, mode="offline")
    assert done.ok, done.text
    assert 'does not know "t3.mediun". Did you mean "t3.medium"?' in done.text


def test_of_an_existing_thing_only_what_is_stated_is_known(bench: Bench) -> None:
    seen: list[str] = []

    def program() -> None:
        vpc = aws.ec2.Vpc.get("theirs", "vpc-0123", cidr_block="10.9.0.0/16", opts=at_aws())
        vpc.cidr_block.apply(seen.append)
        vpc.main_route_table_id.apply(seen.append)

    done = bench.run("preview", program, mode="offline")
    assert done.ok, done.text
    assert seen == ["10.9.0.0/16"]
