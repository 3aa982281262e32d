"""Nebius AI Cloud, by the package `pulumi_nebius` (Pulumi's bridge of the seller's own Terraform provider).

Addresses are allocations of their own: the private one is the node IP that the plan asks for, the public one stays when
a machine is made anew. Every machine has a public address: SSH and the machine's own way to the internet use it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from config.schema import FirewallRule
from config.schema import NebiusProvider as NebiusConfig
from network.nodes import Role
from network.plan import NodePlan
from providers.base import Login, Machine, MachineGroup, Site
from providers.cloud_init import user_data
from providers.host_keys import host_key

try:
    import pulumi_nebius as nebius
except ModuleNotFoundError as error:
    raise pulumi.RunError(
        "kind: nebius needs the Python package pulumi-nebius, which is not installed; run: uv sync --extra sellers"
    ) from error

# Names the file with a service account's credentials; it is read by the provider, so no key is in the state.
CREDENTIALS = "NEBIUS_CREDENTIALS_FILE"
ROLES: dict[Role, str] = {"gateway": "gateways", "control-plane": "control-plane", "worker": "workers"}


def nebius_provider(project: str) -> pulumi.ProviderResource:
    """One project; what it makes lies in it."""
    account: pulumi.ProviderResource = nebius.Provider(
        f"nebius-{project}",
        parent_id=project,
        service_account=nebius.ProviderServiceAccountArgs(credentials_file_env=CREDENTIALS),
    )
    return account


class NebiusRegion:
    """A network with one subnet that has exactly the region's node range, and its machines."""

    def __init__(
        self, site: Site, config: NebiusConfig, account: pulumi.ProviderResource, opts: pulumi.ResourceOptions
    ) -> None:
        self._site, self._config = site, config
        self._account = account
        self._groups: dict[Role, pulumi.Output[str]] = {}
        name, range_ = site.plan.name, str(site.plan.node_cidr)
        pool = nebius.VpcV1Pool(
            f"{name}-pool",
            name=name,
            version="IPV4",
            visibility="PRIVATE",
            cidrs=[nebius.VpcV1PoolCidrArgs(cidr=range_)],
            opts=self._options(opts),
        )
        self._network = nebius.VpcV1Network(
            f"{name}-network",
            name=name,
            ipv4_private_pools=nebius.VpcV1NetworkIpv4PrivatePoolsArgs(
                pools=[nebius.VpcV1NetworkIpv4PrivatePoolsPoolArgs(id=pool.id)]
            ),
            opts=self._options(opts),
        )
        # It takes the network's pools, so the node range is all that it has.
        self._subnet = nebius.VpcV1Subnet(
            f"{name}-subnet", name=name, network_id=self._network.id, opts=self._options(opts)
        )

    def _options(self, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(provider=self._account))

    def firewall(
        self, role: Role, ingress: Sequence[FirewallRule], opts: pulumi.ResourceOptions
    ) -> pulumi.Resource | None:
        """A security group for each role; machines without one would get the network's default."""
        name = f"{self._site.plan.name}-{ROLES[role]}"
        group: pulumi.CustomResource = nebius.VpcV1SecurityGroup(
            f"{name}-firewall", name=name, network_id=self._network.id, opts=self._options(opts)
        )
        inside = nebius.VpcV1SecurityRuleIngressArgs(source_cidrs=[str(self._site.plan.node_cidr)])
        self._rule(f"{name}-inside", group, "ANY", opts, ingress=inside)
        outside = nebius.VpcV1SecurityRuleEgressArgs(destination_cidrs=["0.0.0.0/0"])
        self._rule(f"{name}-egress", group, "ANY", opts, egress=outside)
        for rule in ingress:
            source = str(rule.source).replace("/", "-")
            opening = nebius.VpcV1SecurityRuleIngressArgs(
                destination_ports=[rule.port], source_cidrs=[str(rule.source)]
            )
            self._rule(
                f"{name}-{rule.protocol}-{rule.port}-{source}",
                group,
                rule.protocol.upper(),
                opts,
                ingress=opening,
            )
        self._groups[role] = group.id
        return group

    def _rule(
        self,
        name: str,
        group: pulumi.CustomResource,
        protocol: str,
        opts: pulumi.ResourceOptions,
        *,
        ingress: nebius.VpcV1SecurityRuleIngressArgs | None = None,
        egress: nebius.VpcV1SecurityRuleEgressArgs | None = None,
    ) -> None:
        nebius.VpcV1SecurityRule(
            name,
            name=name,
            # A rule's parent is its group.
            parent_id=group.id,
            access="ALLOW",
            protocol=protocol,
            type="STATEFUL",
            ingress=ingress,
            egress=egress,
            opts=self._options(opts),
        )

    def machine(self, node: NodePlan, opts: pulumi.ResourceOptions) -> Machine:
        ssh = self._site.ssh
        key = self._site.host_key_seed.apply(lambda seed: host_key(seed, node.name, node.generation))
        private = nebius.VpcV1Allocation(
            f"{node.name}-node-ip",
            name=f"{node.name}-node-ip",
            ipv4_private=nebius.VpcV1AllocationIpv4PrivateArgs(
                cidr=f"{node.node_ip}/32", subnet_id=self._subnet.id
            ),
            opts=self._options(opts),
        )
        public = nebius.VpcV1Allocation(
            f"{node.name}-public-ip",
            name=f"{node.name}-public-ip",
            ipv4_public=nebius.VpcV1AllocationIpv4PublicArgs(subnet_id=self._subnet.id),
            opts=self._options(opts),
        )
        again = pulumi.ResourceOptions(
            # Its addresses are free only when it is gone.
            delete_before_replace=True,
            replace_on_changes=["labels"],
            # What a first boot reads is no reason to touch a machine that runs.
            ignore_changes=["cloudInitUserData", "bootDisk.managedDisk.spec.sourceImageFamily"],
        )
        instance = self._instance(
            node,
            private=private.id,
            public=public.id,
            data=pulumi.Output.secret(key.apply(lambda pair: user_data(ssh.user, ssh.authorized_keys, pair))),
            opts=pulumi.ResourceOptions.merge(self._options(opts), again),
        )
        address: pulumi.Output[str] = public.status.apply(
            lambda status: str(status.details.allocated_cidr).split("/")[0]
        )
        return Machine(
            name=node.name,
            login=Login(
                host=address,
                port=22,
                user=ssh.user,
                host_key=pulumi.Output.unsecret(key.apply(lambda pair: pair.public)),
            ),
            public_address=address,
            provider_id=f"nebius://{node.region}/{node.name}",
            resource=instance,
        )

    def _instance(
        self,
        node: NodePlan,
        *,
        private: pulumi.Input[str],
        public: pulumi.Input[str],
        data: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
    ) -> pulumi.Resource:
        platform, _, preset = (node.machine_type or "").partition("/")
        disk = nebius.ComputeV1InstanceBootDiskManagedDiskArgs(
            name=f"{node.name}-boot",
            spec=nebius.ComputeV1InstanceBootDiskManagedDiskSpecArgs(
                type="NETWORK_SSD",
                size_gibibytes=self._config.disk_gib,
                source_image_family=nebius.ComputeV1InstanceBootDiskManagedDiskSpecSourceImageFamilyArgs(
                    image_family=self._config.image_family
                ),
            ),
        )
        interface = nebius.ComputeV1InstanceNetworkInterfaceArgs(
            # Its name inside the machine, which the plan knows as lan_device.
            name=self._site.plan.lan_device,
            subnet_id=self._subnet.id,
            ip_address=nebius.ComputeV1InstanceNetworkInterfaceIpAddressArgs(allocation_id=private),
            public_ip_address=nebius.ComputeV1InstanceNetworkInterfacePublicIpAddressArgs(
                allocation_id=public
            ),
            security_groups=[
                nebius.ComputeV1InstanceNetworkInterfaceSecurityGroupArgs(id=self._groups[node.role])
            ],
        )
        instance: pulumi.Resource = nebius.ComputeV1Instance(
            node.name,
            name=node.name,
            hostname=node.name,
            resources=nebius.ComputeV1InstanceResourcesArgs(platform=platform, preset=preset),
            # Deleted with the machine.
            boot_disk=nebius.ComputeV1InstanceBootDiskArgs(attach_mode="READ_WRITE", managed_disk=disk),
            network_interfaces=[interface],
            cloud_init_user_data=data,
            labels={"tailspan-generation": str(node.generation)},
            opts=opts,
        )
        return instance

    def machine_group(
        self, name: str, nodes: Sequence[NodePlan], opts: pulumi.ResourceOptions
    ) -> MachineGroup:
        raise ValueError(
            f"node group {name}: machines at a seller are listed by name; write them under machines"
        )

    def route_remote(self, gateways: Sequence[Machine], opts: pulumi.ResourceOptions) -> None:
        """The network holds nothing but nodes."""
