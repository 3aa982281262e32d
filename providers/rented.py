"""Machines of a seller that has an HTTP API only: the verbs of ops/ order them, keep their openings and give them back.

Each machine is a command of the operator's, with the seller's key in its standard input, which is a secret. Pulumi's
command package has no read, so a refresh does not see that a machine is gone; the next change of it does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command import local

from config.schema import FirewallRule
from network.nodes import Role
from network.plan import NodePlan
from providers.base import Login, Machine, MachineGroup, Site
from providers.cloud_init import user_data
from providers.host_keys import HostKey, host_key


@dataclass(frozen=True, kw_only=True)
class SellerAccount:
    """What the seller's module in ops/sellers is told: its name there, the place in its own words, and the key."""

    seller: str
    place: Mapping[str, str]
    key: pulumi.Output[str]
    # Where its API is, if not where ops/sellers expects it.
    api: str | None = None


class RentedRegion:
    """A region of machines that share no network of ours; each has a public address."""

    def __init__(self, site: Site, account: SellerAccount) -> None:
        self._site = site
        self._account = account
        self._openings: dict[Role, list[dict[str, str | int]]] = {}

    def firewall(
        self, role: Role, ingress: Sequence[FirewallRule], opts: pulumi.ResourceOptions
    ) -> pulumi.Resource | None:
        """A seller keeps the openings with each machine, so they travel in its request."""
        self._openings[role] = [
            {"protocol": rule.protocol, "port": rule.port, "source": str(rule.source)} for rule in ingress
        ]
        return None

    def machine(self, node: NodePlan, opts: pulumi.ResourceOptions) -> Machine:
        key = self._site.host_key_seed.apply(lambda seed: host_key(seed, node.name, node.generation))
        known = pulumi.Output.all(key, self._account.key)
        command = local.Command(
            node.name,
            create="python -m ops v1 machine-create",
            update="python -m ops v1 machine-update",
            delete="python -m ops v1 machine-delete",
            # A secret, because both that it is made of are.
            stdin=known.apply(lambda values: self._request(node, *values)),
            # Another one of these is another machine. Login keys are not among them: they are read at the first boot.
            triggers=[
                self._account.seller,
                *(f"{name}={value}" for name, value in sorted(self._account.place.items())),
                f"machine_type={node.machine_type}",
                f"generation={node.generation}",
            ],
            add_previous_output_in_env=False,
            logging=local.Logging.STDERR,
            # Its name is taken until it is gone, and so may be the quota.
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True)),
        )
        address = command.stdout.apply(lambda text: str(json.loads(text)["public_ip"]))
        return Machine(
            name=node.name,
            login=Login(
                host=address,
                port=22,
                user=self._site.ssh.user,
                host_key=pulumi.Output.unsecret(key.apply(lambda pair: pair.public)),
            ),
            public_address=address,
            provider_id=f"{self._account.seller}://{node.region}/{node.name}",
            resource=command,
        )

    def _request(self, node: NodePlan, key: HostKey, api_key: str) -> str:
        ssh = self._site.ssh
        machine = {
            "name": node.name,
            "tag": machine_tag(key),
            "machine_type": node.machine_type,
            "user_data": user_data(ssh.user, ssh.authorized_keys, key),
            "openings": self._openings.get(node.role, []),
        }
        request: dict[str, object] = {
            "seller": self._account.seller,
            "api_key": api_key,
            "place": dict(self._account.place),
            "machine": machine,
        }
        if self._account.api:
            request["api"] = self._account.api
        return json.dumps(request, sort_keys=True)

    def machine_group(
        self, name: str, nodes: Sequence[NodePlan], opts: pulumi.ResourceOptions
    ) -> MachineGroup:
        raise ValueError(
            f"node group {name}: machines of a seller are listed by name; write them under machines"
        )

    def route_remote(self, gateways: Sequence[Machine], opts: pulumi.ResourceOptions) -> None:
        """There is no network of ours."""


def machine_tag(key: HostKey) -> str:
    """
    The label by which a machine is known at its seller. Its host key is made from the stack's seed, its name and its
    generation, so no other machine has the same, not even one of a stack of the same name.
    """
    return f"tailspan-{hashlib.sha256(key.public.encode()).hexdigest()[:20]}"
