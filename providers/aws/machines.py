"""Instances. None of them checks source and destination, so that each may carry packets of others, pods among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_aws import ec2

from config.places import AwsProvider
from network.nodes import Role
from network.plan import NodePlan
from providers.aws.firewall import RoleGroup
from providers.aws.network import AwsNetwork, tags_of
from providers.base import Login, Machine, MachineGroup, Site
from providers.cloud_init import user_data
from providers.host_keys import host_key

# Not burstable (t3): a gateway that has used up its credits is slow and not dead, which nobody would notice.
MACHINE_TYPES: dict[Role, str] = {
    "control-plane": "m6i.large",
    "gateway": "c6in.large",
    "worker": "m6i.large",
}
SSH_PORT = 22

# What a first boot reads: a change of it alone changes no machine that runs, and a new one gets the new values. The
# engine compares without them, and makes a replacement with them (pulumi: step_generator.go, the Check of a replace).
FIRST_BOOT = ["ami", "user_data"]


class Instances:
    """
    The machines of one region. Their interfaces are part of them: of an interface that stands alone the provider turns
    the check of source and destination on again (hashicorp/terraform-provider-aws#44768), and the gateways are no more.
    """

    # Of machines that are routed to, by name.
    interfaces: dict[str, pulumi.Output[str]]

    def __init__(
        self, site: Site, place: AwsProvider, network: AwsNetwork, profile: pulumi.Input[str] | None
    ) -> None:
        self._site = site
        self._place = place
        self._network = network
        self._profile = profile
        self.interfaces = {}

    def machine(self, node: NodePlan, group: RoleGroup, opts: pulumi.ResourceOptions) -> Machine:
        instance = self._instance(node, group, opts)
        self.interfaces[node.name] = instance.primary_network_interface_id
        address = instance.public_ip if node.role == "worker" else self._address(node, instance, opts)
        return Machine(
            name=node.name,
            login=Login(
                host=address, port=SSH_PORT, user=self._site.ssh.user, host_key=self._public_key(node)
            ),
            public_address=address,
            provider_id=_provider_id(node),
            resource=instance,
        )

    def group(
        self,
        name: str,
        nodes: Sequence[NodePlan],
        group: RoleGroup,
        opts: pulumi.ResourceOptions,
        account: pulumi.ProviderResource,
    ) -> MachineGroup:
        machines = InstanceGroup(f"{name}-machines", opts)
        # What the group waits for its machines wait for, too: a component's own dependencies are not theirs.
        child = pulumi.ResourceOptions(parent=machines, provider=account, depends_on=opts.depends_on)
        found = {node.name: self._instance(node, group, child) for node in nodes}
        hosts = pulumi.Output.all(
            **{
                node.name: pulumi.Output.all(found[node.name].public_ip, self._public_key(node)).apply(_host)
                for node in nodes
            }
        )
        machines.finish(hosts)
        return MachineGroup(
            resource=machines,
            user=self._site.ssh.user,
            hosts=hosts,
            provider_ids={node.name: _provider_id(node) for node in nodes},
        )

    def _address(
        self, node: NodePlan, instance: ec2.Instance, opts: pulumi.ResourceOptions
    ) -> pulumi.Output[str]:
        """A public address that outlives the instance: it is written down elsewhere."""
        address = ec2.Eip(
            f"{node.name}-address",
            domain="vpc",
            instance=instance.id,
            tags=self._tags(node),
            opts=self._after(opts, *self._network.way_out),
        )
        found: pulumi.Output[str] = address.public_ip
        return found

    def _instance(self, node: NodePlan, group: RoleGroup, opts: pulumi.ResourceOptions) -> ec2.Instance:
        # Workers get an address from Amazon's pool: of Elastic IP addresses an account has five by default.
        pooled = node.role == "worker"
        return ec2.Instance(
            node.name,
            **self._common(node),
            subnet_id=self._network.subnet_id,
            private_ip=str(node.node_ip),
            vpc_security_group_ids=[group.resource.id],
            source_dest_check=False,
            associate_public_ip_address=True if pooled else None,
            opts=self._options(node, opts, group.rules),
        )

    def _common(self, node: NodePlan) -> dict[str, Any]:
        keeps = node.role == "control-plane"
        return {
            "ami": self._place.ami,
            "instance_type": node.machine_type or MACHINE_TYPES[node.role],
            "availability_zone": self._place.zone,
            "user_data": self._user_data(node),
            # One hop: the host and pods on its network get an answer, other pods never do.
            "metadata_options": ec2.InstanceMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            "root_block_device": ec2.InstanceRootBlockDeviceArgs(
                volume_type="gp3",
                volume_size=self._place.disk_gib,
                encrypted=True,
                # etcd is on the control plane's: who ends the instance by another way still has the data.
                delete_on_termination=not keeps,
                tags=self._tags(node),
            ),
            "disable_api_termination": keeps,
            "iam_instance_profile": self._profile if node.role == "gateway" else None,
            "tags": self._tags(node),
        }

    def _options(
        self,
        node: NodePlan,
        opts: pulumi.ResourceOptions,
        after: Sequence[pulumi.Resource],
    ) -> pulumi.ResourceOptions:
        own = pulumi.ResourceOptions(
            # The address: a stopped instance has none, which would count as a change that needs another machine.
            ignore_changes=[*FIRST_BOOT, "associate_public_ip_address"],
            # A wiped machine: its host key is another one, and so is everything that it boots with.
            replacement_trigger=pulumi.Output.from_input(node.generation),
            # Its address cannot be had twice.
            delete_before_replace=True,
            additional_secret_outputs=["user_data"],
        )
        return pulumi.ResourceOptions.merge(self._after(opts, *self._network.way_out, *after), own)

    @staticmethod
    def _after(opts: pulumi.ResourceOptions, *resources: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(resources)))

    def _tags(self, node: NodePlan) -> dict[str, str]:
        return tags_of(self._site, node.name, **{"tailspan:role": node.role})

    def _user_data(self, node: NodePlan) -> pulumi.Output[str]:
        """A secret, as the seed is."""
        ssh = self._site.ssh
        return self._site.host_key_seed.apply(
            lambda seed: user_data(ssh.user, ssh.authorized_keys, host_key(seed, node.name, node.generation))
        )

    def _public_key(self, node: NodePlan) -> pulumi.Output[str]:
        return self._site.host_key_seed.apply(lambda seed: host_key(seed, node.name, node.generation).public)


class InstanceGroup(pulumi.ComponentResource):
    """The instances of a node group, each one a resource: one more or less touches no other."""

    hosts: pulumi.Output[Mapping[str, Mapping[str, Any]]]

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("tailspan:providers:AwsInstanceGroup", name, None, opts)

    def finish(self, hosts: pulumi.Output[Mapping[str, Mapping[str, Any]]]) -> None:
        self.hosts = hosts
        self.register_outputs({"hosts": hosts})


def _host(values: Sequence[str]) -> dict[str, Any]:
    return {"ssh_host": values[0], "ssh_port": SSH_PORT, "host_key": values[1]}


def _provider_id(node: NodePlan) -> str:
    """Not aws://: Amazon's controllers would take the node for theirs, and delete it when they do not find it."""
    return f"tailspan-aws://{node.region}/{node.name}"
