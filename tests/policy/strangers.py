"""Machines and firewalls as other people's programs declare them, with what the engine knows of each in preview."""

from __future__ import annotations

from typing import Any

from pulumi_policy import PolicyResource

from policy.rules.known import (
    AWS_EGRESS,
    AWS_EIP,
    AWS_EIP_ASSOCIATION,
    AWS_GROUP,
    AWS_GROUP_RULE,
    AWS_INGRESS,
    AWS_INSTANCE,
    AWS_INTERFACE,
    AWS_PREFIX_LIST,
    AWS_SUBNET,
    AWS_VPC,
    GCP_FIREWALL,
    GCP_INSTANCE,
    GCP_NETWORK,
    GCP_SUBNETWORK,
)
from tests.policy.judge import UNKNOWN, resource

SCRIPT = (
    "#!/bin/sh\ncurl -fsSL https://tailscale.com/install.sh | sh\ntailscale up --advertise-routes=10.0.0.0/22"
)

NETWORK = resource(GCP_NETWORK, "main", {"autoCreateSubnetworks": False, "mtu": 1460.0})
SUBNETWORK = resource(
    GCP_SUBNETWORK,
    "hub",
    {"ipCidrRange": "10.0.0.0/24", "network": UNKNOWN, "region": "us-central1"},
    network=[NETWORK],
)
ACCOUNT = resource("gcp:serviceaccount/account:Account", "router", {"accountId": "router"})
VPC = resource(AWS_VPC, "main", {"cidrBlock": "10.0.0.0/16"})
SUBNET = resource(
    AWS_SUBNET,
    "hub-public",
    {"cidrBlock": "10.0.0.0/24", "vpcId": UNKNOWN, "mapPublicIpOnLaunch": True},
    vpcId=[VPC],
)


def gcp_vm(name: str = "router-1", **props: Any) -> PolicyResource:
    """A subnet router that its start-up script makes one; nothing in its name says so."""
    dependencies = {"networkInterfaces": [SUBNETWORK], "serviceAccount": [ACCOUNT]}
    return resource(
        GCP_INSTANCE,
        name,
        {
            "machineType": "e2-standard-4",
            "zone": "us-central1-a",
            "tags": ["edge"],
            "canIpForward": True,
            "bootDisk": {"initializeParams": {"image": "debian-cloud/debian-12"}},
            "networkInterfaces": [{"subnetwork": UNKNOWN, "accessConfigs": [{"networkTier": "PREMIUM"}]}],
            "serviceAccount": {"email": UNKNOWN, "scopes": ["cloud-platform"]},
            "metadataStartupScript": SCRIPT,
            **props,
        },
        **dependencies,
    )


def gcp_firewall(name: str = "wireguard", **props: Any) -> PolicyResource:
    opening: dict[str, Any] = {
        "network": UNKNOWN,
        "direction": "INGRESS",
        "allows": [{"protocol": "udp", "ports": ["41641"]}],
        "sourceRanges": ["0.0.0.0/0"],
        "targetTags": ["edge"],
    }
    accounts = [ACCOUNT] if "targetServiceAccounts" in props else []
    return resource(
        GCP_FIREWALL, name, {**opening, **props}, network=[NETWORK], targetServiceAccounts=accounts
    )


def group(name: str = "edge", **props: Any) -> PolicyResource:
    return resource(
        AWS_GROUP, name, {"vpcId": UNKNOWN, "description": "Managed by Pulumi", **props}, vpcId=[VPC]
    )


EVERYTHING = {"protocol": "-1", "fromPort": 0.0, "toPort": 0.0, "cidrBlocks": ["0.0.0.0/0"]}
WIREGUARD = {"protocol": "udp", "fromPort": 41641.0, "toPort": 41641.0, "cidrBlocks": ["0.0.0.0/0"]}


def rule(
    kind: str, of: PolicyResource, lists: list[PolicyResource] | None = None, **props: Any
) -> PolicyResource:
    dependencies = {"securityGroupId": [of], "prefixListId": lists or []}
    return resource(kind, f"{of.name}-rule", {"securityGroupId": UNKNOWN, **props}, **dependencies)


def ingress(of: PolicyResource, **props: Any) -> PolicyResource:
    return rule(AWS_INGRESS, of, **{"ipProtocol": "udp", "fromPort": 41641, "toPort": 41641, **props})


def egress(of: PolicyResource, **props: Any) -> PolicyResource:
    return rule(AWS_EGRESS, of, **{"ipProtocol": "-1", "cidrIpv4": "0.0.0.0/0", **props})


def old_rule(of: PolicyResource, kind: str, **props: Any) -> PolicyResource:
    return rule(AWS_GROUP_RULE, of, **{"type": kind, **WIREGUARD, **props})


def prefix_list(*cidrs: str) -> PolicyResource:
    return resource(
        AWS_PREFIX_LIST, "anyone", {"maxEntries": 5.0, "entries": [{"cidr": cidr} for cidr in cidrs]}
    )


def aws_vm(
    name: str = "router-1", *groups: PolicyResource, subnet: PolicyResource = SUBNET, **props: Any
) -> PolicyResource:
    return resource(
        AWS_INSTANCE,
        name,
        {
            "ami": "ami-0123456789abcdef0",
            "instanceType": "c6i.large",
            "sourceDestCheck": False,
            "subnetId": UNKNOWN,
            "vpcSecurityGroupIds": [UNKNOWN for _ in groups],
            "userData": SCRIPT,
            "tags": {"Name": name, "team": "platform"},
            **props,
        },
        subnetId=[subnet],
        vpcSecurityGroupIds=list(groups),
    )


def address_of(machine: PolicyResource) -> PolicyResource:
    return resource(
        AWS_EIP, f"{machine.name}-address", {"domain": "vpc", "instance": UNKNOWN}, instance=[machine]
    )


def association_of(machine: PolicyResource) -> PolicyResource:
    props = {"allocationId": UNKNOWN, "instanceId": UNKNOWN}
    return resource(AWS_EIP_ASSOCIATION, f"{machine.name}-association", props, instanceId=[machine])


def interface(*groups: PolicyResource, **props: Any) -> PolicyResource:
    inputs = {"subnetId": UNKNOWN, "securityGroups": [UNKNOWN for _ in groups], **props}
    return resource(AWS_INTERFACE, "eth0", inputs, subnetId=[SUBNET], securityGroups=list(groups))


def on_interface(made: PolicyResource) -> PolicyResource:
    """A router whose interface is a resource of its own, as those with a fixed address have it."""
    props = {
        "instanceType": "c6i.large",
        "primaryNetworkInterface": {"networkInterfaceId": UNKNOWN},
        "userData": SCRIPT,
    }
    return resource(AWS_INSTANCE, "router-1", props, primaryNetworkInterface=[made])


def address_on(made: PolicyResource) -> PolicyResource:
    props = {"domain": "vpc", "networkInterface": UNKNOWN}
    return resource(AWS_EIP, "router-1-address", props, networkInterface=[made])
