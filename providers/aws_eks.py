"""EKS as the control plane: a cluster in the region's VPC with Hybrid Nodes, and IAM for machines that are not AWS's.

The API server has a private endpoint only. Its name is in public DNS and leads to addresses of the VPC, so machines
everywhere reach it through the gateways; a public one would have to know the public address of each of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from ipaddress import IPv4Network
from typing import Any

import pulumi
from pulumi_aws import ec2, eks, iam, rolesanywhere, vpc

from config.schema import AwsProvider, CloudRegionConfig, EksControlPlane
from network.aws_machines import is_arm
from network.managed import ManagedRanges
from providers.base import Site
from providers.eks_pki import authority
from providers.managed import CloudNetwork, HybridNodes, ManagedArgs, ManagedCluster, exec_kubeconfig

# The largest range of a VPC (https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html).
LARGEST_VPC_RANGE = 16
# An hour: what a stolen credential is good for (IAM Roles Anywhere's own default).
CREDENTIAL_SECONDS = 3600
_POLICIES = "arn:aws:iam::aws:policy/"
CLUSTER_POLICIES = ("AmazonEKSClusterPolicy",)
WORKER_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly")
HYBRID_POLICIES = ("AmazonEC2ContainerRegistryPullOnly",)


def cluster_name(region: str, endpoint: str) -> str:
    """Planned, because machines and their provider IDs name it; one per account and region."""
    return f"{region}-{hashlib.sha256(endpoint.encode()).hexdigest()[:6]}"


def worker_block(ranges: ManagedRanges) -> IPv4Network:
    """EKS's nodes and their pods take addresses of one subnet: as much of the pods' upper half as a VPC may have."""
    return next(ranges.worker_pods.subnets(new_prefix=max(LARGEST_VPC_RANGE, ranges.worker_pods.prefixlen)))


def eks_cluster(
    site: Site, plane: EksControlPlane, network: CloudNetwork, args: ManagedArgs, opts: pulumi.ResourceOptions
) -> ManagedCluster:
    """The cluster of a region, with a managed node group for each of its node groups."""
    return _Eks(site, plane, network, args, opts).make()


class _Eks:
    def __init__(
        self,
        site: Site,
        plane: EksControlPlane,
        network: CloudNetwork,
        args: ManagedArgs,
        opts: pulumi.ResourceOptions,
    ) -> None:
        config, ranges = site.config, site.plan.managed
        if not isinstance(config.provider, AwsProvider) or not isinstance(config, CloudRegionConfig):
            raise TypeError(f"region {site.plan.name}: eks needs a cloud region on aws")
        if ranges is None or network.route_table is None:
            raise TypeError(f"region {site.plan.name}: its plan or its network has no room for EKS")
        self._site, self._plane, self._network, self._args, self._opts = site, plane, network, args, opts
        self._place: AwsProvider = config.provider
        self._config: CloudRegionConfig = config
        self._ranges: ManagedRanges = ranges
        self._table: pulumi.Output[str] = network.route_table
        self._name = site.plan.name
        self._cluster_name = cluster_name(self._name, args.endpoint)

    def _options(self, **options: Any) -> pulumi.ResourceOptions:
        mine = pulumi.ResourceOptions(provider=self._network.account, **options)
        return pulumi.ResourceOptions.merge(self._opts, mine)

    def make(self) -> ManagedCluster:
        cluster = self._cluster()
        inside = self._firewall(cluster)
        network = self._network_addon(cluster)
        # Both run on every node, and a node is Ready with them only. Names need a node to be served from.
        proxy = self._addon("kube-proxy", cluster, ())
        nodes = self._node_groups(cluster, [network, proxy, *inside])
        names = self._addon("coredns", cluster, nodes)
        hybrid, entry = self._hybrid(cluster)
        cluster_ca = cluster.certificate_authority.data
        login = {
            "command": "aws",
            "args": [
                "eks",
                "get-token",
                "--cluster-name",
                self._cluster_name,
                "--region",
                self._place.region,
            ],
        }
        return ManagedCluster(
            server=cluster.endpoint,
            ca=cluster_ca.apply(lambda text: base64.b64decode(str(text)).decode()),
            kubeconfig=pulumi.Output.all(cluster.endpoint, cluster_ca).apply(
                lambda values: exec_kubeconfig(str(values[0]), str(values[1]), login)
            ),
            nodes=(*nodes, proxy, names, entry),
            hybrid=hybrid,
        )

    def _role(self, purpose: str, trust: pulumi.Input[str], policies: tuple[str, ...]) -> iam.Role:
        return iam.Role(
            f"{self._name}-eks-{purpose}-role",
            assume_role_policy=trust,
            managed_policy_arns=[f"{_POLICIES}{policy}" for policy in policies],
            opts=self._options(),
        )

    def _subnet(
        self, purpose: str, zone: str, block: IPv4Network, after: list[pulumi.Resource]
    ) -> tuple[ec2.Subnet, pulumi.Resource]:
        """The subnet, and what gives it its routes."""
        subnet = ec2.Subnet(
            f"{self._name}-eks-{purpose}",
            vpc_id=self._network.network,
            availability_zone=zone,
            cidr_block=str(block),
            # As of this region's other machines: its way out is the VPC's internet gateway.
            map_public_ip_on_launch=purpose == "workers",
            opts=self._options(depends_on=after),
        )
        # Its table leads to the gateways what is for other regions; a subnet without one has the VPC's main table.
        routes = ec2.RouteTableAssociation(
            f"{self._name}-eks-{purpose}-routes",
            subnet_id=subnet.id,
            route_table_id=self._table,
            opts=self._options(),
        )
        return subnet, routes

    def _cluster(self) -> eks.Cluster:
        zones = (self._place.zone, self._plane.second_zone)
        subnets = [
            self._subnet(f"endpoint-{number}", zone, block, [])[0]
            for number, (zone, block) in enumerate(zip(zones, self._ranges.endpoints, strict=True), 1)
        ]
        group = ec2.SecurityGroup(
            f"{self._name}-eks-endpoint",
            description="The API server for machines outside EKS",
            vpc_id=self._network.network,
            opts=self._options(),
        )
        # Gateways translate what comes from other regions to their own address (bootstrap/hostnetwork.py).
        vpc.SecurityGroupIngressRule(
            f"{self._name}-eks-endpoint-gateways",
            security_group_id=group.id,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4=str(self._site.plan.machine_cidr),
            opts=self._options(),
        )
        # To kubelets and webhooks of all regions.
        for number, cidr in enumerate(self._site.remote, 1):
            vpc.SecurityGroupEgressRule(
                f"{self._name}-eks-endpoint-remote-{number}",
                security_group_id=group.id,
                ip_protocol="-1",
                cidr_ipv4=str(cidr),
                opts=self._options(),
            )
        role = self._role("cluster", _trust("eks.amazonaws.com"), CLUSTER_POLICIES)
        return eks.Cluster(
            f"{self._name}-eks",
            name=self._cluster_name,
            version=".".join(self._args.version.split(".")[:2]),
            role_arn=role.arn,
            vpc_config={
                "subnet_ids": [subnet.id for subnet in subnets],
                "security_group_ids": [group.id],
                "endpoint_private_access": True,
                "endpoint_public_access": False,
            },
            kubernetes_network_config={"service_ipv4_cidr": str(self._site.network.service_cidr)},
            remote_network_config={
                "remote_node_networks": {"cidrs": self._remote("node_cidr")},
                "remote_pod_networks": {"cidrs": self._remote("pod_cidr")},
            },
            access_config={
                "authentication_mode": "API",
                "bootstrap_cluster_creator_admin_permissions": True,
            },
            # Each is an add-on of its own: the CNI must know what it may not translate before the first node comes.
            bootstrap_self_managed_addons=False,
            deletion_protection=self._plane.deletion_protection,
            # Losing it loses the cluster.
            opts=self._options(protect=True),
        )

    def _remote(self, field: str) -> list[str]:
        regions = (region for region in self._site.network.regions if region.name != self._name)
        return sorted(str(getattr(region, field)) for region in regions)

    def _firewall(self, cluster: eks.Cluster) -> list[pulumi.Resource]:
        """EKS's nodes and their pods accept machines and pods of all regions, which keep their addresses on the way."""
        group = cluster.vpc_config.cluster_security_group_id
        sources = (self._site.plan.machine_cidr, self._site.plan.machine_pod_cidr, *self._site.remote)
        return [
            vpc.SecurityGroupIngressRule(
                f"{self._name}-eks-inside-{number}",
                security_group_id=group,
                ip_protocol="-1",
                cidr_ipv4=str(cidr),
                opts=self._options(),
            )
            for number, cidr in enumerate(sources, 1)
        ]

    def _network_addon(self, cluster: eks.Cluster) -> eks.Addon:
        """The VPC CNI would give pods' packets the node's address outside the VPC; towards other regions it may not."""
        keep = ",".join(sorted(str(cidr) for cidr in self._site.remote))
        values = json.dumps({"env": {"AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS": keep}})
        return self._addon("vpc-cni", cluster, (), configuration_values=values)

    def _addon(
        self, name: str, cluster: eks.Cluster, after: tuple[pulumi.Resource, ...], **settings: str
    ) -> eks.Addon:
        return eks.Addon(
            f"{self._name}-eks-{name}",
            cluster_name=cluster.name,
            addon_name=name,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            opts=self._options(depends_on=list(after)),
            **settings,
        )

    def _node_groups(self, cluster: eks.Cluster, after: list[pulumi.Resource]) -> tuple[eks.NodeGroup, ...]:
        block = worker_block(self._ranges)
        association = ec2.VpcIpv4CidrBlockAssociation(
            f"{self._name}-eks-workers-range",
            vpc_id=self._network.network,
            cidr_block=str(block),
            opts=self._options(),
        )
        subnet, routes = self._subnet("workers", self._place.zone, block, [association])
        # A node that cannot reach the internet cannot join, and EKS gives it up.
        after = [*after, routes, *self._network.way_out]
        role = self._role("workers", _trust("ec2.amazonaws.com"), WORKER_POLICIES)
        return tuple(
            eks.NodeGroup(
                f"{self._name}-{group.name}",
                cluster_name=cluster.name,
                node_role_arn=role.arn,
                subnet_ids=[subnet.id],
                instance_types=[group.machine_type] if group.machine_type else None,
                ami_type=node_image(group.machine_type),
                scaling_config={
                    "desired_size": group.count,
                    "min_size": group.count,
                    "max_size": max(group.count, 1),
                },
                opts=self._options(depends_on=after),
            )
            for group in self._config.node_groups
        )

    def _hybrid(self, cluster: eks.Cluster) -> tuple[HybridNodes, pulumi.Resource]:
        """Machines elsewhere: a CA that IAM trusts, and a role that each of them gets under its own name only."""
        anchor = rolesanywhere.TrustAnchor(
            f"{self._name}-eks-anchor",
            name=self._cluster_name,
            enabled=True,
            source={
                "source_type": "CERTIFICATE_BUNDLE",
                "source_data": {
                    # Made from a secret, and itself there to be shown.
                    "x509_certificate_data": pulumi.Output.unsecret(self._site.host_key_seed.apply(authority))
                },
            },
            opts=self._options(),
        )
        role = self._role("hybrid", anchor.arn.apply(_hybrid_trust), HYBRID_POLICIES)
        iam.RolePolicy(
            f"{self._name}-eks-hybrid-describe",
            role=role.name,
            policy=cluster.arn.apply(_describe),
            opts=self._options(),
        )
        profile = rolesanywhere.Profile(
            f"{self._name}-eks-profile",
            name=self._cluster_name,
            enabled=True,
            role_arns=[role.arn],
            accept_role_session_name=True,
            duration_seconds=CREDENTIAL_SECONDS,
            opts=self._options(),
        )
        entry = eks.AccessEntry(
            f"{self._name}-eks-hybrid-entry",
            cluster_name=cluster.name,
            principal_arn=role.arn,
            type="HYBRID_LINUX",
            opts=self._options(),
        )
        hybrid = HybridNodes(
            cluster=self._cluster_name,
            region=self._place.region,
            anchor=anchor.arn,
            profile=profile.arn,
            role=role.arn,
            seed=self._site.host_key_seed,
        )
        return hybrid, entry


def node_image(machine_type: str | None) -> str:
    """EKS takes its image for x86 where none is named, and then refuses machines with Arm processors."""
    return "AL2023_ARM_64_STANDARD" if machine_type and is_arm(machine_type) else "AL2023_x86_64_STANDARD"


def _trust(service: str) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": service}, "Action": ["sts:AssumeRole"]}
            ],
        }
    )


def _hybrid_trust(anchor: str) -> str:
    """
    The session's name is the common name of the certificate, and EKS makes it the node's user: without the second
    condition a machine could be any other one.
    """
    service = {"Service": "rolesanywhere.amazonaws.com"}
    here = {"ArnEquals": {"aws:SourceArn": anchor}}
    itself = {"StringEquals": {"sts:RoleSessionName": "${aws:PrincipalTag/x509Subject/CN}"}}
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": service,
                    "Action": ["sts:TagSession", "sts:SetSourceIdentity"],
                    "Condition": here,
                },
                {
                    "Effect": "Allow",
                    "Principal": service,
                    "Action": ["sts:AssumeRole"],
                    "Condition": itself | here,
                },
            ],
        }
    )


def _describe(cluster: str) -> str:
    """What nodeadm asks for (https://docs.aws.amazon.com/eks/latest/userguide/hybrid-nodes-creds.html)."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["eks:DescribeCluster", "eks:ListAccessEntries"],
                    "Resource": cluster,
                }
            ],
        }
    )
