"""Cases of the rules about addresses."""

from __future__ import annotations

from typing import Any

from pulumi_policy import PolicyResource

from policy.rules.known import (
    ADDRESS_MAP,
    AWS_EKS,
    AWS_SUBNET,
    AWS_VPC,
    AWS_VPC_BLOCK,
    GCP_CLUSTER,
    GCP_GLOBAL_ADDRESS,
    GCP_NETWORK,
    GCP_NODE_POOL,
    GCP_ROUTE,
    GCP_SUBNETWORK,
    LAB_NETWORK,
)
from tests.policy.judge import UNKNOWN, Cases, case, resource

HUB = {"name": "hub", "nodeCidr": "10.0.0.0/24", "podCidr": "10.128.0.0/16"}
GPU = {"name": "gpu", "nodeCidr": "10.1.0.0/24", "podCidr": "10.129.0.0/16"}
MAP = resource(ADDRESS_MAP, "addresses", {"serviceCidr": "10.96.0.0/16", "regions": [HUB, GPU]})
BROKEN = resource(
    ADDRESS_MAP,
    "addresses",
    {"serviceCidr": "10.96.0.0/16", "regions": [HUB, GPU | {"nodeCidr": "10.0.0.0/25"}]},
)


def vpc(name: str, cidr: str) -> PolicyResource:
    return resource(AWS_VPC, name, {"cidrBlock": cidr, "enableDnsHostnames": True, "tags": {"Name": name}})


def subnet(name: str, cidr: str, around: PolicyResource) -> PolicyResource:
    return resource(AWS_SUBNET, name, {"cidrBlock": cidr, "vpcId": UNKNOWN}, vpcId=[around])


def gcp_network(name: str, **props: Any) -> PolicyResource:
    return resource(GCP_NETWORK, name, {"name": name, **props})


def subnetwork(name: str, cidr: str, network: PolicyResource, **secondary: str) -> PolicyResource:
    ranges = [{"rangeName": key, "ipCidrRange": text} for key, text in secondary.items()]
    props = {"ipCidrRange": cidr, "network": UNKNOWN, "secondaryIpRanges": ranges, "region": "us-central1"}
    return resource(GCP_SUBNETWORK, name, props, network=[network])


VPC = vpc("main", "10.0.0.0/16")
SUBNETS = (subnet("hub-a", "10.0.0.0/24", VPC), subnet("database", "10.0.8.0/24", VPC))
EKS = resource(
    AWS_EKS,
    "cluster",
    {
        "kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.96.0.0/16"},
        "remoteNetworkConfig": {
            "remoteNodeNetworks": {"cidrs": ["10.1.0.0/24"]},
            "remotePodNetworks": {"cidrs": ["10.129.0.0/16"]},
        },
        "vpcConfig": {"subnetIds": [UNKNOWN]},
    },
    vpcConfig=[SUBNETS[0]],
)
NETWORK = gcp_network("main", autoCreateSubnetworks=False)
GKE = resource(
    GCP_CLUSTER,
    "cluster",
    {
        "network": UNKNOWN,
        "ipAllocationPolicy": {
            "clusterIpv4CidrBlock": "10.128.0.0/16",
            "servicesIpv4CidrBlock": "10.96.0.0/16",
        },
        "privateClusterConfig": {"masterIpv4CidrBlock": "172.16.0.0/28"},
    },
    network=[NETWORK],
)
NODES = subnetwork("nodes", "10.0.0.0/24", NETWORK, pods="10.128.0.0/16", services="10.96.0.0/16")
RUNNING_GKE = resource(
    GCP_CLUSTER,
    "running",
    {
        "network": "main",
        "clusterIpv4Cidr": "10.128.0.0/16",
        "ipAllocationPolicy": {
            "clusterIpv4CidrBlock": "10.128.0.0/16",
            "clusterSecondaryRangeName": "pods",
            "servicesIpv4CidrBlock": "10.96.0.0/16",
            "servicesSecondaryRangeName": "services",
        },
        "privateClusterConfig": {"masterIpv4CidrBlock": ""},
    },
    network=[NETWORK],
    subnetwork=[NODES],
)
RUNNING_POOL = resource(
    GCP_NODE_POOL, "pool", {"networkConfig": {"podIpv4CidrBlock": "10.128.0.0/16"}}, cluster=[RUNNING_GKE]
)
ROUTE = resource(
    GCP_ROUTE,
    "to-gpu",
    {"destRange": "10.1.0.0/24", "network": UNKNOWN, "nextHopIlb": UNKNOWN},
    network=[NETWORK],
)
PEERING = {"purpose": "VPC_PEERING", "prefixLength": 20.0, "network": UNKNOWN, "addressType": "INTERNAL"}


def peering(address: str) -> PolicyResource:
    return resource(GCP_GLOBAL_ADDRESS, "google", PEERING | {"address": address}, network=[NETWORK])


CASES = {
    "address-map-has-no-overlap": Cases(
        passes=[case(MAP)],
        refuses=[case(BROKEN, said="region gpu: node_cidr 10.0.0.0/25 overlaps region hub: node_cidr")],
    ),
    "networks-have-no-overlap": Cases(
        passes=[
            case(MAP, vpc("gpu-vpc", "10.1.0.0/20")),
            case(MAP, VPC, *SUBNETS, EKS),
            case(
                MAP,
                NETWORK,
                subnetwork("hub-nodes", "10.0.0.0/24", NETWORK),
                GKE,
                ROUTE,
                peering("10.64.0.0"),
            ),
            case(MAP, NETWORK, subnetwork("hub", "10.0.0.0/24", NETWORK, pods="10.128.0.0/16")),
            # A cluster that runs repeats the ranges that it was told.
            case(NETWORK, NODES, RUNNING_GKE, RUNNING_POOL),
            # A length alone leaves the choice to GKE, and two clusters may know the same service addresses.
            case(
                resource(
                    GCP_CLUSTER,
                    "a",
                    {
                        "ipAllocationPolicy": {
                            "clusterIpv4CidrBlock": "/14",
                            "servicesIpv4CidrBlock": "10.96.0.0/16",
                        }
                    },
                ),
                resource(AWS_EKS, "b", {"kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.96.0.0/16"}}),
            ),
        ],
        refuses=[
            # What another subnetwork has is not what the cluster was told.
            case(
                NETWORK,
                subnetwork("other", "10.0.8.0/24", NETWORK, pods="10.128.0.0/16"),
                GKE,
                said="clusterIpv4CidrBlock 10.128.0.0/16 overlaps subnetwork other, secondary range pods",
            ),
            case(
                MAP,
                vpc("legacy", "10.96.0.0/12"),
                said="VPC legacy: cidrBlock 10.96.0.0/12 overlaps kubernetes",
            ),
            case(
                MAP,
                VPC,
                *SUBNETS,
                resource(
                    AWS_VPC_BLOCK, "more", {"cidrBlock": "10.129.0.0/18", "vpcId": UNKNOWN}, vpcId=[VPC]
                ),
                said="VPC block more: cidrBlock 10.129.0.0/18 overlaps region gpu: pod_cidr",
            ),
            case(
                MAP,
                VPC,
                SUBNETS[0],
                subnet("other", "10.0.0.128/25", VPC),
                said="subnet other: cidrBlock 10.0.0.128/25 overlaps region hub: node_cidr",
            ),
            case(
                vpc("one", "10.5.0.0/16"),
                subnet("stray", "10.5.1.0/24", vpc("two", "10.6.0.0/16")),
                said="subnet stray: cidrBlock 10.5.1.0/24 overlaps VPC one",
            ),
            case(
                vpc("main", "10.96.0.0/12"),
                resource(AWS_EKS, "c", {"kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.100.0.0/16"}}),
                said="EKS cluster c: serviceIpv4Cidr 10.100.0.0/16 overlaps VPC main",
            ),
            case(
                VPC,
                *SUBNETS,
                resource(
                    AWS_EKS,
                    "c",
                    {
                        "remoteNetworkConfig": {"remoteNodeNetworks": {"cidrs": ["10.0.8.0/25"]}},
                        "vpcConfig": {"subnetIds": [UNKNOWN]},
                    },
                    vpcConfig=[SUBNETS[0]],
                ),
                said="EKS cluster c: remoteNodeNetworks 10.0.8.0/25 overlaps",
            ),
            case(
                NETWORK,
                subnetwork("db", "10.1.0.0/20", NETWORK),
                ROUTE,
                said="route to-gpu: destRange 10.1.0.0/24 overlaps subnetwork db",
            ),
            case(
                MAP,
                gcp_network("default", description="made by Google"),
                said="set autoCreateSubnetworks: false on network default and declare its subnetworks",
            ),
            case(
                resource(GCP_CLUSTER, "c", {"privateClusterConfig": {"masterIpv4CidrBlock": "10.64.0.0/28"}}),
                peering("10.64.0.0"),
                said="peering range google: address 10.64.0.0/20 overlaps cluster c: masterIpv4CidrBlock",
            ),
            case(
                resource(GCP_NODE_POOL, "gpus", {"networkConfig": {"podIpv4CidrBlock": "10.129.0.0/20"}}),
                MAP,
                said="region gpu: pod_cidr 10.129.0.0/16 overlaps node pool gpus: podIpv4CidrBlock",
            ),
            case(
                resource(LAB_NETWORK, "office", {"name": "office", "cidr": "10.1.0.0/16", "lan": "l2"}),
                MAP,
                said="lab network office: cidr 10.1.0.0/16",
            ),
        ],
    ),
    "ranges-avoid-reserved-addresses": Cases(
        passes=[
            case(MAP, subnetwork("nodes", "10.9.0.0/24", NETWORK), vpc("wide", "172.16.0.0/12")),
        ],
        refuses=[
            case(
                subnetwork("nodes", "10.9.0.0/24", NETWORK, pods="100.80.0.0/14"),
                said="subnetwork nodes, secondary range pods: ipCidrRange 100.80.0.0/14 touches 100.64.0.0/10",
            ),
            case(vpc("eks", "100.100.0.0/16"), said="which belongs to the tailnet's device addresses"),
            case(vpc("tiny", "100.100.100.0/28"), said="MagicDNS answers at 100.100.100.100"),
            case(resource(AWS_VPC_BLOCK, "pods", {"cidrBlock": "100.64.0.0/16"}), said="VPC block pods"),
            case(vpc("bridge", "172.17.0.0/20"), said="Docker's default bridge"),
            case(
                resource(ADDRESS_MAP, "addresses", {"regions": [GPU | {"podCidr": "100.96.0.0/16"}]}),
                said="for region gpu under tailspan:stack in the stack file",
            ),
        ],
    ),
}
