"""GKE as the control plane: a Standard cluster in the region's VPC, its own nodes, and a private endpoint.

Foreign machines are GKE's only as far as Kubernetes is: they need VPC-native Standard with the legacy datapath (GKE's
Cilium fork runs on GKE's nodes alone, Autopilot refuses privileged pods) and 1.35 (network/managed_rules.py).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pulumi
import pulumi_gcp as gcp

from config.schema import CloudRegionConfig, GcpProvider, GkeControlPlane
from network.managed import ManagedRanges
from providers.base import Site
from providers.managed import CloudNetwork, ManagedArgs, ManagedCluster, exec_kubeconfig

PODS, SERVICES = "gke-pods", "gke-services"
# What a node may do with Google's APIs is said by its service account's role, not by the older scopes.
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# https://cloud.google.com/kubernetes-engine/docs/how-to/hardening-your-cluster#use_least_privilege_sa
NODE_ROLE = "roles/container.defaultNodeServiceAccount"
LOGIN = {
    "command": "gke-gcloud-auth-plugin",
    "installHint": "install it: gcloud components install gke-gcloud-auth-plugin",
    "provideClusterInfo": True,
}


def gke_cluster(
    site: Site, plane: GkeControlPlane, network: CloudNetwork, args: ManagedArgs, opts: pulumi.ResourceOptions
) -> ManagedCluster:
    """The cluster of a region, with a node pool for each of its node groups."""
    return _Gke(site, plane, network, args, opts).make()


class _Gke:
    def __init__(
        self,
        site: Site,
        plane: GkeControlPlane,
        network: CloudNetwork,
        args: ManagedArgs,
        opts: pulumi.ResourceOptions,
    ) -> None:
        config, ranges = site.config, site.plan.managed
        if not isinstance(config.provider, GcpProvider) or not isinstance(config, CloudRegionConfig):
            raise TypeError(f"region {site.plan.name}: gke needs a cloud region on gcp")
        if ranges is None:
            raise TypeError(f"region {site.plan.name}: its plan has no ranges for GKE")
        self._site, self._plane, self._network, self._args, self._opts = site, plane, network, args, opts
        self._place: GcpProvider = config.provider
        self._config: CloudRegionConfig = config
        self._ranges: ManagedRanges = ranges
        self._name = site.plan.name
        self._location = self._place.zone if plane.location == "zone" else self._place.region

    def _options(self, **options: Any) -> pulumi.ResourceOptions:
        mine = pulumi.ResourceOptions(provider=self._network.account, **options)
        return pulumi.ResourceOptions.merge(self._opts, mine)

    def make(self) -> ManagedCluster:
        account, role = self._node_account()
        nodes, endpoint = self._subnetworks()
        egress = self._egress(nodes)
        inside = self._firewall(account)
        cluster = self._cluster(account, nodes, endpoint, [role])
        pools = tuple(self._pool(index, cluster, account, [egress, inside]) for index in range(self._groups))
        authority = cluster.master_auth.cluster_ca_certificate
        private = cluster.private_cluster_config.private_endpoint
        operator = cluster.endpoint if self._args.public else private
        return ManagedCluster(
            server=private.apply(lambda address: f"https://{address}"),
            ca=authority.apply(lambda text: base64.b64decode(str(text)).decode()),
            kubeconfig=pulumi.Output.all(operator, authority).apply(
                lambda values: exec_kubeconfig(f"https://{values[0]}", str(values[1]), LOGIN)
            ),
            nodes=pools,
        )

    @property
    def _groups(self) -> int:
        return len(self._config.node_groups)

    def _node_account(self) -> tuple[gcp.serviceaccount.Account, gcp.projects.IAMMember]:
        """Nodes get an identity of their own: the project's default one may edit the whole project."""
        # 6 to 30 characters, one name space for the whole project.
        digest = hashlib.sha256(self._args.endpoint.encode()).hexdigest()[:6]
        account = gcp.serviceaccount.Account(
            f"{self._name}-gke-nodes",
            account_id=f"{self._name[:12]}-{digest}-gke-nodes",
            display_name=f"tailspan: GKE's nodes of {self._args.endpoint}",
            project=self._place.project,
            opts=self._options(),
        )
        role = gcp.projects.IAMMember(
            f"{self._name}-gke-nodes-role",
            project=self._place.project,
            role=NODE_ROLE,
            member=account.email.apply(lambda email: f"serviceAccount:{email}"),
            opts=self._options(),
        )
        return account, role

    def _subnetworks(self) -> tuple[gcp.compute.Subnetwork, gcp.compute.Subnetwork]:
        """One for GKE's nodes with the ranges of pods and Services, one of a few addresses for the endpoint."""
        nodes = gcp.compute.Subnetwork(
            f"{self._name}-gke-nodes-subnet",
            network=self._network.network,
            region=self._place.region,
            project=self._place.project,
            ip_cidr_range=str(self._ranges.workers),
            secondary_ip_ranges=[
                {"range_name": PODS, "ip_cidr_range": str(self._ranges.worker_pods)},
                {"range_name": SERVICES, "ip_cidr_range": str(self._site.network.service_cidr)},
            ],
            # Google's own images come without a way to the internet.
            private_ip_google_access=True,
            opts=self._options(),
        )
        endpoint = gcp.compute.Subnetwork(
            f"{self._name}-gke-endpoint-subnet",
            network=self._network.network,
            region=self._place.region,
            project=self._place.project,
            ip_cidr_range=str(self._ranges.endpoint),
            opts=self._options(),
        )
        return nodes, endpoint

    def _egress(self, nodes: gcp.compute.Subnetwork) -> pulumi.Resource:
        """GKE's nodes have no public addresses; images of other registries come through Cloud NAT."""
        router = gcp.compute.Router(
            f"{self._name}-gke-router",
            network=self._network.network,
            region=self._place.region,
            project=self._place.project,
            opts=self._options(),
        )
        return gcp.compute.RouterNat(
            f"{self._name}-gke-nat",
            router=router.name,
            region=self._place.region,
            project=self._place.project,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="LIST_OF_SUBNETWORKS",
            subnetworks=[{"name": nodes.self_link, "source_ip_ranges_to_nats": ["ALL_IP_RANGES"]}],
            opts=self._options(),
        )

    def _firewall(self, account: gcp.serviceaccount.Account) -> gcp.compute.Firewall:
        """Machines and pods of all regions reach GKE's nodes; they keep their addresses on the way."""
        plan = self._site.plan
        sources = sorted(str(cidr) for cidr in (plan.node_cidr, plan.pod_cidr, *self._site.remote))
        return gcp.compute.Firewall(
            f"{self._name}-gke-inside",
            network=self._network.network,
            project=self._place.project,
            direction="INGRESS",
            source_ranges=sources,
            allows=[{"protocol": "all"}],
            target_service_accounts=[account.email],
            opts=self._options(),
        )

    def _cluster(
        self,
        account: gcp.serviceaccount.Account,
        nodes: gcp.compute.Subnetwork,
        endpoint: gcp.compute.Subnetwork,
        after: list[pulumi.Resource],
    ) -> gcp.container.Cluster:
        return gcp.container.Cluster(
            f"{self._name}-gke",
            location=self._location,
            project=self._place.project,
            network=self._network.network,
            subnetwork=nodes.self_link,
            networking_mode="VPC_NATIVE",
            ip_allocation_policy={
                "cluster_secondary_range_name": PODS,
                "services_secondary_range_name": SERVICES,
            },
            datapath_provider="LEGACY_DATAPATH",
            # The least; the channel goes further by itself.
            min_master_version=self._args.version,
            release_channel={"channel": self._plane.release_channel},
            private_cluster_config={
                "enable_private_nodes": True,
                "enable_private_endpoint": not self._args.public,
                "private_endpoint_subnetwork": endpoint.self_link,
            },
            # Nobody logs in by the name that Google's DNS has for it, whose only gate is IAM.
            control_plane_endpoints_config={"dns_endpoint_config": {"allow_external_traffic": False}},
            master_authorized_networks_config=self._authorized(),
            workload_identity_config={"workload_pool": f"{self._place.project}.svc.id.goog"},
            enable_shielded_nodes=True,
            # Its collectors would be sent to foreign nodes, too, where they have no identity to write with.
            monitoring_config={
                "enable_components": ["SYSTEM_COMPONENTS"],
                "managed_prometheus": {"enabled": False},
            },
            # GKE makes none without a pool; ours are resources of their own, so that each can change alone.
            initial_node_count=1,
            remove_default_node_pool=True,
            node_config={"service_account": account.email, "oauth_scopes": [SCOPE]},
            deletion_protection=self._plane.deletion_protection,
            opts=self._options(
                # Losing it loses the cluster.
                protect=True,
                # The pool that it was for is gone.
                ignore_changes=["nodeConfig"],
                depends_on=after,
            ),
        )

    def _authorized(self) -> dict[str, Any]:
        """
        Who may open a connection, on both endpoints: the operator, and the gateways' subnetwork, because gateways
        translate what comes from other regions to their own address (bootstrap/hostnetwork.py). GKE's own nodes may
        always.
        """
        blocks = [{"cidr_block": str(self._site.plan.machine_cidr), "display_name": "gateways"}]
        if self._args.public:
            blocks += [
                {"cidr_block": str(cidr), "display_name": "operator"} for cidr in sorted(self._args.allow)
            ]
        return {
            "cidr_blocks": blocks,
            "gcp_public_cidrs_access_enabled": False,
            "private_endpoint_enforcement_enabled": True,
        }

    def _pool(
        self,
        index: int,
        cluster: gcp.container.Cluster,
        account: gcp.serviceaccount.Account,
        after: list[pulumi.Resource],
    ) -> gcp.container.NodePool:
        group = self._config.node_groups[index]
        return gcp.container.NodePool(
            f"{self._name}-{group.name}",
            cluster=cluster.id,
            location=self._location,
            project=self._place.project,
            node_count=group.count,
            network_config={"enable_private_nodes": True, "pod_range": PODS},
            management={"auto_repair": True, "auto_upgrade": True},
            node_config={
                "machine_type": group.machine_type,
                "service_account": account.email,
                "oauth_scopes": [SCOPE],
                "image_type": "COS_CONTAINERD",
                "shielded_instance_config": {
                    "enable_secure_boot": True,
                    "enable_integrity_monitoring": True,
                },
                # Pods get Workload Identity's tokens and never the node's own.
                "workload_metadata_config": {"mode": "GKE_METADATA"},
                "metadata": {"disable-legacy-endpoints": "true"},
            },
            opts=self._options(depends_on=after),
        )
