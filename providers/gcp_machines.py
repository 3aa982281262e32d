"""Machines of Google Cloud: addresses, what each is made of, and how the operator logs in."""

from __future__ import annotations

from typing import Any

import pulumi

from config.places import GcpProvider
from network.gcp_machines import accelerator, has_gpus, machine_type_of
from network.plan import NodePlan
from providers.base import Login, Machine, Site
from providers.cloud_init import user_data
from providers.gcp_network import PODS, GcpNetwork, network_tag
from providers.gcp_types import GcpResource
from providers.host_keys import host_key

SSH_PORT = 22
# Google's agent on the machine would give it host keys of its own, and would take the pods' range, an alias of the
# interface, for addresses of the machine itself: pods on it could not be reached
# (https://github.com/GoogleCloudPlatform/guest-agent: [InstanceSetup] and [IpForwarding]). The address of a load
# balancer it goes on taking for the machine's, which the balancer's probes need.
GUEST_AGENT = "/etc/default/instance_configs.cfg"
GUEST_AGENT_SETTINGS = "[InstanceSetup]\nset_host_keys = false\n\n[IpForwarding]\nip_aliases = false\n"
METADATA = {
    # Who may log in is in the user data; keys of the whole project and logins by IAM stay outside.
    "block-project-ssh-keys": "true",
    "enable-oslogin": "FALSE",
    "serial-port-enable": "FALSE",
}
# Of these GPU families the machines have Google's own network interface and no other
# (https://cloud.google.com/compute/docs/networking/using-gvnic).
_GVNIC = ("a3-", "a4-", "a4x-", "g4-")


class GcpMachines:
    """Makes the machines of one region, and knows the addresses of those that have one outside."""

    def __init__(
        self, site: Site, place: GcpProvider, network: GcpNetwork, opts: pulumi.ResourceOptions
    ) -> None:
        self._site = site
        self._place = place
        self._network = network
        self._opts = opts
        self._addresses: dict[str, GcpResource] = {}
        self._way_out: GcpResource | None = None
        self.made: dict[str, GcpResource] = {}

    def create(self, node: NodePlan, opts: pulumi.ResourceOptions) -> Machine:
        """A machine with its addresses; those that others know by heart are reserved, so that none takes them."""
        public = self._public_address(node, opts)
        if public is None:
            # It installs packages as soon as it is there.
            opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[self._nat()]))
        if node.role != "worker":
            inputs = {
                "addressType": "INTERNAL",
                "address": str(node.node_ip),
                "subnetwork": self._network.subnetwork.id,
                "region": self._place.region,
            }
            private: pulumi.Input[str] = GcpResource(
                "Address", f"{node.name}-internal", inputs, opts, outputs=["address"]
            ).address
        else:
            private = str(node.node_ip)
        instance = GcpResource(
            "Instance",
            node.name,
            self._inputs(node, private, public),
            pulumi.ResourceOptions.merge(
                opts,
                pulumi.ResourceOptions(
                    # The node IP stays, and two machines cannot have it.
                    delete_before_replace=True,
                    replacement_trigger=node.generation,
                    # A new image of a family, or another image or disk in the stack file, must not wipe machines that
                    # run. Nor the local SSDs that Google itself gives to some types (A3 and A2 Ultra among them): the
                    # provider finds them where none were asked for (terraform-provider-google#19648).
                    ignore_changes=[
                        "bootDisk.initializeParams.image",
                        "bootDisk.initializeParams.type",
                        "scratchDisks",
                    ],
                    additional_secret_outputs=["metadata"],
                ),
            ),
            outputs=["selfLink"],
        )
        self.made[node.name] = instance
        return Machine(
            name=node.name,
            login=self.login(node),
            public_address=public.address if public else pulumi.Output.from_input(""),
            provider_id=provider_id(node),
            resource=instance,
        )

    def _nat(self) -> GcpResource:
        if self._way_out is None:
            self._way_out = self._network.nat(self._place, self._opts)
        return self._way_out

    def login(self, node: NodePlan) -> Login:
        """Straight to a machine with an address of its own; to any other by way of the region's first gateway."""
        public = self._public_address(node)
        gateways = self._site.plan.gateways
        return Login(
            host=public.address if public else str(node.node_ip),
            port=SSH_PORT,
            user=self._site.ssh.user,
            host_key=self._site.host_key_seed.apply(
                lambda seed: host_key(seed, node.name, node.generation).public
            ),
            jump=None if public or not gateways else self.login(gateways[0]),
        )

    def has_address(self, node: NodePlan) -> bool:
        """Devices of the tailnet, because others dial them; the control plane, if its API server is public."""
        return node.device or (node.role == "control-plane" and self._site.public_api)

    def _public_address(
        self, node: NodePlan, opts: pulumi.ResourceOptions | None = None
    ) -> GcpResource | None:
        """A static one: tunnels and kubeconfigs outlive a machine that is made anew."""
        if not self.has_address(node):
            return None
        if node.name not in self._addresses:
            inputs = {"addressType": "EXTERNAL", "region": self._place.region}
            self._addresses[node.name] = GcpResource(
                "Address", f"{node.name}-public", inputs, opts or self._opts, outputs=["address"]
            )
        return self._addresses[node.name]

    def _inputs(
        self, node: NodePlan, private: pulumi.Input[str], public: GcpResource | None
    ) -> dict[str, Any]:
        precious = node.role == "control-plane"
        machine_type = machine_type_of(node.machine_type, node.gpu, node.role)
        attached = accelerator(node.gpu, machine_type) if node.gpu else None
        gpus = bool(attached) or has_gpus(machine_type)
        interface: dict[str, Any] = {
            "subnetwork": self._network.subnetwork.id,
            "networkIp": private,
            "aliasIpRanges": [{"subnetworkRangeName": PODS, "ipCidrRange": str(node.pod_cidr)}],
        }
        if public:
            interface["accessConfigs"] = [{"natIp": public.address}]
        if machine_type.startswith(_GVNIC):
            interface["nicType"] = "GVNIC"
        return {
            "zone": self._place.zone,
            "machineType": machine_type,
            "networkInterfaces": [interface],
            # Other machines' packets pass gateways only: a node's own pods have an alias range of its interface.
            "canIpForward": node.role == "gateway",
            "tags": [network_tag(node.region, node.role)],
            "bootDisk": {
                # The disk of the control plane holds etcd; it outlives its machine.
                "autoDelete": not precious,
                "initializeParams": {
                    "image": self._place.image,
                    "size": self._place.disk_gb,
                    "type": self._place.disk_type,
                },
            },
            "metadata": METADATA | {"user-data": self._user_data(node)},
            # Unsigned kernel modules do not load with secure boot, and NVIDIA's driver may be one.
            "shieldedInstanceConfig": {
                "enableSecureBoot": not gpus,
                "enableVtpm": True,
                "enableIntegrityMonitoring": True,
            },
            # Machines with GPUs cannot be moved while they run (https://cloud.google.com/compute/docs/gpus).
            "scheduling": {
                "automaticRestart": True,
                "onHostMaintenance": "TERMINATE" if gpus else "MIGRATE",
            },
            **(
                {"guestAccelerators": [{"type": attached, "count": node.gpu.count}]}
                if node.gpu and attached
                else {}
            ),
            # Another machine type stops the machine. All gateways at once would cut the region off.
            "allowStoppingForUpdate": node.role == "worker",
            "deletionProtection": precious,
        }

    def _user_data(self, node: NodePlan) -> pulumi.Output[str]:
        ssh = self._site.ssh
        return pulumi.Output.secret(
            self._site.host_key_seed.apply(
                lambda seed: user_data(
                    ssh.user,
                    ssh.authorized_keys,
                    host_key(seed, node.name, node.generation),
                    {GUEST_AGENT: GUEST_AGENT_SETTINGS},
                )
            )
        )


def provider_id(node: NodePlan) -> str:
    """Not gce://, by which Google's cloud controller manager knows its nodes: it must leave ours alone."""
    return f"gcp://{node.region}/{node.name}"
