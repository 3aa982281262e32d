"""GKE as the control plane: a Standard cluster in the region's VPC, its own nodes, and a private endpoint.

Foreign machines are GKE's only as far as Kubernetes is: they need VPC-native Standard with the legacy datapath (GKE's
Cilium fork runs on GKE's nodes alone, Autopilot refuses privileged pods) and 1.35 (network/gke_rules.py).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pulumi

from config.schema import CloudRegionConfig, GcpProvider, GkeControlPlane
from network.managed import ManagedRanges
from providers.base import Site
from providers.gcp_types import GcpResource
from providers.gke_gateways import gateway_pool
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
        pools += tuple(self._gateway_pools(cluster, account, [egress, inside]))
        authority = cluster.masterAuth["clusterCaCertificate"]
        # An input, too, and as such known before there is a cluster: its id says when there is one.
        private = pulumi.Output.all(cluster.id, cluster.privateClusterConfig).apply(self._private_endpoint)
        return ManagedCluster(
            server=private.apply(lambda address: f"https://{address}"),
            ca=authority.apply(lambda text: base64.b64decode(str(text)).decode()),
            kubeconfig=pulumi.Output.all(cluster.endpoint, authority).apply(
                lambda values: exec_kubeconfig(f"https://{values[0]}", str(values[1]), LOGIN)
            ),
            nodes=pools,
        )

    def _private_endpoint(self, made: list[Any]) -> str:
        address = made[1].get("privateEndpoint")
        if not address:
            raise pulumi.RunError(
                f"region {self._name}: its GKE cluster tells no private endpoint, which other regions are to "
                "reach; look at it: gcloud container clusters describe (privateClusterConfig)"
            )
        return str(address)

    @property
    def _groups(self) -> int:
        return len(self._config.node_groups)

    def _node_account(self) -> tuple[GcpResource, GcpResource]:
        """Nodes get an identity of their own: the project's default one may edit the whole project."""
        # 6 to 30 characters, one name space for the whole project.
        digest = hashlib.sha256(self._args.endpoint.encode()).hexdigest()[:6]
        account = GcpResource(
            "Account",
            f"{self._name}-gke-nodes",
            {
                "accountId": f"{self._name[:12]}-{digest}-gke-nodes",
                "displayName": f"tailspan: GKE's nodes of {self._args.endpoint}",
                "project": self._place.project,
            },
            self._options(),
            outputs=["email"],
        )
        role = GcpResource(
            "IAMMember",
            f"{self._name}-gke-nodes-role",
            {
                "project": self._place.project,
                "role": NODE_ROLE,
                "member": account.email.apply(lambda email: f"serviceAccount:{email}"),
            },
            self._options(),
        )
        return account, role

    def _subnetworks(self) -> tuple[GcpResource, GcpResource]:
        """One for GKE's nodes with the ranges of pods and Services, one of a few addresses for the endpoint."""
        nodes = GcpResource(
            "Subnetwork",
            f"{self._name}-gke-nodes-subnet",
            {
                "network": self._network.network,
                "region": self._place.region,
                "project": self._place.project,
                "ipCidrRange": str(self._ranges.workers),
                "secondaryIpRanges": [
                    {"rangeName": PODS, "ipCidrRange": str(self._ranges.worker_pods)},
                    {"rangeName": SERVICES, "ipCidrRange": str(self._site.network.service_cidr)},
                ],
                # Google's own images come without a way to the internet.
                "privateIpGoogleAccess": True,
            },
            self._options(),
        )
        endpoint = GcpResource(
            "Subnetwork",
            f"{self._name}-gke-endpoint-subnet",
            {
                "network": self._network.network,
                "region": self._place.region,
                "project": self._place.project,
                "ipCidrRange": str(self._ranges.endpoint),
            },
            self._options(),
        )
        return nodes, endpoint

    def _egress(self, nodes: GcpResource) -> pulumi.Resource:
        """GKE's nodes have no public addresses; images of other registries come through Cloud NAT."""
        router = GcpResource(
            "Router",
            f"{self._name}-gke-router",
            {
                "network": self._network.network,
                "region": self._place.region,
                "project": self._place.project,
            },
            self._options(),
            outputs=["name"],
        )
        return GcpResource(
            "RouterNat",
            f"{self._name}-gke-nat",
            {
                "router": router.name,
                "region": self._place.region,
                "project": self._place.project,
                "natIpAllocateOption": "AUTO_ONLY",
                "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS",
                "subnetworks": [{"name": nodes.id, "sourceIpRangesToNats": ["ALL_IP_RANGES"]}],
            },
            self._options(),
        )

    def _firewall(self, account: GcpResource) -> GcpResource:
        """Machines and pods of all regions reach GKE's nodes; they keep their addresses on the way."""
        plan = self._site.plan
        sources = sorted(str(cidr) for cidr in (plan.node_cidr, plan.pod_cidr, *self._site.remote))
        return GcpResource(
            "Firewall",
            f"{self._name}-gke-inside",
            {
                "network": self._network.network,
                "project": self._place.project,
                "direction": "INGRESS",
                "sourceRanges": sources,
                "allows": [{"protocol": "all"}],
                "targetServiceAccounts": [account.email],
            },
            self._options(),
        )

    def _cluster(
        self,
        account: GcpResource,
        nodes: GcpResource,
        endpoint: GcpResource,
        after: list[pulumi.Resource],
    ) -> GcpResource:
        return GcpResource(
            "Cluster",
            f"{self._name}-gke",
            {
                "location": self._location,
                "project": self._place.project,
                "network": self._network.network,
                "subnetwork": nodes.id,
                "networkingMode": "VPC_NATIVE",
                "ipAllocationPolicy": {
                    "clusterSecondaryRangeName": PODS,
                    "servicesSecondaryRangeName": SERVICES,
                },
                "datapathProvider": "LEGACY_DATAPATH",
                # The least; the channel goes further by itself. A minor, because GKE does not offer every patch.
                "minMasterVersion": self._args.version.rsplit(".", 1)[0],
                "releaseChannel": {"channel": self._plane.release_channel},
                "privateClusterConfig": {
                    "enablePrivateNodes": True,
                    # The operator needs the public one: gateways are admitted before there is a way through them.
                    "enablePrivateEndpoint": False,
                    "privateEndpointSubnetwork": endpoint.id,
                },
                # Nobody logs in by the name that Google's DNS has for it, whose only gate is IAM.
                "controlPlaneEndpointsConfig": {"dnsEndpointConfig": {"allowExternalTraffic": False}},
                "masterAuthorizedNetworksConfig": self._authorized(),
                "workloadIdentityConfig": {"workloadPool": f"{self._place.project}.svc.id.goog"},
                "enableShieldedNodes": True,
                # Its collectors would be sent to foreign nodes, too, where they have no identity to write with.
                "monitoringConfig": {
                    "enableComponents": ["SYSTEM_COMPONENTS"],
                    "managedPrometheus": {"enabled": False},
                },
                # GKE makes none without a pool; ours are resources of their own, so that each can change alone.
                "initialNodeCount": 1,
                "removeDefaultNodePool": True,
                "nodeConfig": {"serviceAccount": account.email, "oauthScopes": [SCOPE]},
                "deletionProtection": self._plane.deletion_protection,
            },
            self._options(
                # Losing it loses the cluster.
                protect=True,
                # The pool that it was for is gone.
                ignore_changes=["nodeConfig"],
                depends_on=after,
            ),
            outputs=["endpoint", "masterAuth"],
        )

    def _authorized(self) -> dict[str, Any]:
        """
        Who may open a connection, on both endpoints: the operator, and the gateways' subnetwork, because gateways
        translate what comes from other regions to their own address (bootstrap/hostnetwork.py). GKE's own nodes may
        always.
        """
        machines = {"cidrBlock": str(self._site.plan.machine_cidr), "displayName": "gateways"}
        blocks = [] if self._site.plan.pool_gateways else [machines]
        blocks += [{"cidrBlock": str(cidr), "displayName": "operator"} for cidr in sorted(self._args.allow)]
        return {
            "cidrBlocks": blocks,
            "gcpPublicCidrsAccessEnabled": False,
            "privateEndpointEnforcementEnabled": True,
        }

    def _pool(
        self,
        index: int,
        cluster: GcpResource,
        account: GcpResource,
        after: list[pulumi.Resource],
    ) -> GcpResource:
        group = self._config.node_groups[index]
        return GcpResource(
            "NodePool",
            f"{self._name}-{group.name}",
            {
                **self._home(cluster),
                "nodeCount": group.count,
                "networkConfig": {"enablePrivateNodes": True, "podRange": PODS},
                "management": {"autoRepair": True, "autoUpgrade": True},
                "nodeConfig": {"machineType": group.machine_type, **_node_config(account)},
            },
            self._options(depends_on=after),
        )

    def _home(self, cluster: GcpResource) -> dict[str, Any]:
        return {"cluster": cluster.id, "location": self._location, "project": self._place.project}

    def _gateway_pools(
        self, cluster: GcpResource, account: GcpResource, after: list[pulumi.Resource]
    ) -> list[GcpResource]:
        """Where gateways are GKE's nodes; the VPC's routes lead to their instance groups."""
        if not self._site.plan.pool_gateways:
            return []
        options = self._options(depends_on=after)
        pools = [
            gateway_pool(node, self._place.zone, self._home(cluster), _node_config(account), PODS, options)
            for node in self._site.plan.gateways
        ]
        if self._network.lead is None:
            raise TypeError(f"region {self._name}: its network leads nothing to GKE's nodes")
        self._network.lead([pool.managedInstanceGroupUrls.apply(_only) for pool in pools])
        return pools


def _node_config(account: GcpResource) -> dict[str, Any]:
    """What all nodes have."""
    return {
        "serviceAccount": account.email,
        "oauthScopes": [SCOPE],
        "imageType": "COS_CONTAINERD",
        "shieldedInstanceConfig": {"enableSecureBoot": True, "enableIntegrityMonitoring": True},
        # Pods get Workload Identity's tokens and never the node's own.
        "workloadMetadataConfig": {"mode": "GKE_METADATA"},
        "metadata": {"disable-legacy-endpoints": "true"},
    }


def _only(urls: list[str]) -> str:
    """Of a pool in one zone."""
    return urls[0]
