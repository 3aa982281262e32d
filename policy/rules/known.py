"""
Type tokens of resources that rules look into, and the inputs that they read of them. A test compares both with the
installed SDKs, so that a renamed type or input is noticed and not judged as absent.
"""

ADDRESS_MAP = "tailspan:components:AddressMap"
CLOUD_REGION = "tailspan:components:CloudRegion"
GPU_REGION = "tailspan:components:GpuProviderRegion"
REGION_TYPES = (CLOUD_REGION, GPU_REGION)

LAB_NETWORK = "lab:index:Network"
LAB_FIREWALL = "lab:index:Firewall"
LAB_MACHINE = "lab:index:Machine"

GCP_NETWORK = "gcp:compute/network:Network"
GCP_SUBNETWORK = "gcp:compute/subnetwork:Subnetwork"
GCP_GLOBAL_ADDRESS = "gcp:compute/globalAddress:GlobalAddress"
GCP_FIREWALL = "gcp:compute/firewall:Firewall"
GCP_ROUTE = "gcp:compute/route:Route"
GCP_INSTANCE = "gcp:compute/instance:Instance"
GCP_CLUSTER = "gcp:container/cluster:Cluster"
GCP_NODE_POOL = "gcp:container/nodePool:NodePool"

AWS_VPC = "aws:ec2/vpc:Vpc"
AWS_VPC_BLOCK = "aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation"
AWS_SUBNET = "aws:ec2/subnet:Subnet"
AWS_GROUP = "aws:ec2/securityGroup:SecurityGroup"
AWS_GROUP_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
AWS_INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
AWS_EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
AWS_PREFIX_LIST = "aws:ec2/managedPrefixList:ManagedPrefixList"
AWS_ROUTE = "aws:ec2/route:Route"
AWS_ROUTE_TABLE = "aws:ec2/routeTable:RouteTable"
AWS_INSTANCE = "aws:ec2/instance:Instance"
AWS_INTERFACE = "aws:ec2/networkInterface:NetworkInterface"
AWS_EIP = "aws:ec2/eip:Eip"
AWS_EIP_ASSOCIATION = "aws:ec2/eipAssociation:EipAssociation"
AWS_EKS = "aws:eks/cluster:Cluster"
AWS_NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"

TAILNET_KEY = "tailscale:index/tailnetKey:TailnetKey"

# Top-level inputs that some rule reads, by type.
READ: dict[str, tuple[str, ...]] = {
    GCP_NETWORK: ("autoCreateSubnetworks", "name"),
    GCP_SUBNETWORK: ("ipCidrRange", "name", "network", "secondaryIpRanges"),
    GCP_GLOBAL_ADDRESS: ("address", "name", "network", "prefixLength", "purpose"),
    GCP_FIREWALL: (
        "allows",
        "denies",
        "destinationRanges",
        "direction",
        "disabled",
        "network",
        "priority",
        "sourceRanges",
        "targetServiceAccounts",
        "targetTags",
    ),
    GCP_ROUTE: ("destRange", "name", "network", "tags"),
    GCP_INSTANCE: (
        "canIpForward",
        "guestAccelerators",
        "labels",
        "machineType",
        "metadata",
        "metadataStartupScript",
        "name",
        "networkInterfaces",
        "serviceAccount",
        "tags",
    ),
    GCP_CLUSTER: (
        "clusterIpv4Cidr",
        "defaultMaxPodsPerNode",
        "ipAllocationPolicy",
        "name",
        "network",
        "privateClusterConfig",
    ),
    GCP_NODE_POOL: (
        "autoscaling",
        "initialNodeCount",
        "maxPodsPerNode",
        "name",
        "networkConfig",
        "nodeConfig",
        "nodeCount",
    ),
    AWS_VPC: ("cidrBlock", "tags"),
    AWS_VPC_BLOCK: ("cidrBlock", "vpcId"),
    AWS_SUBNET: ("cidrBlock", "mapPublicIpOnLaunch", "tags", "vpcId"),
    AWS_GROUP: ("egress", "ingress", "name", "tags", "vpcId"),
    AWS_GROUP_RULE: (
        "cidrBlocks",
        "fromPort",
        "prefixListIds",
        "protocol",
        "securityGroupId",
        "toPort",
        "type",
    ),
    AWS_INGRESS: ("cidrIpv4", "fromPort", "ipProtocol", "prefixListId", "securityGroupId", "toPort"),
    AWS_EGRESS: ("cidrIpv4", "fromPort", "ipProtocol", "prefixListId", "securityGroupId", "toPort"),
    AWS_PREFIX_LIST: ("entries",),
    AWS_ROUTE: ("destinationCidrBlock", "destinationPrefixListId", "routeTableId"),
    AWS_ROUTE_TABLE: ("routes", "tags", "vpcId"),
    AWS_INSTANCE: (
        "associatePublicIpAddress",
        "instanceType",
        "primaryNetworkInterface",
        "sourceDestCheck",
        "subnetId",
        "tags",
        "userData",
        "userDataBase64",
        "vpcSecurityGroupIds",
    ),
    AWS_INTERFACE: ("securityGroups", "sourceDestCheck"),
    AWS_EIP: ("instance", "networkInterface"),
    AWS_EIP_ASSOCIATION: ("instanceId", "networkInterfaceId"),
    AWS_EKS: ("kubernetesNetworkConfig", "name", "remoteNetworkConfig", "vpcConfig"),
    AWS_NODE_GROUP: ("instanceTypes", "scalingConfig"),
    TAILNET_KEY: ("ephemeral", "reusable", "tags"),
}
