"""Each region as its provider sees it, and the secret that the host keys of all machines are made from."""

from __future__ import annotations

import json

import pulumi

from components.command import LocalCommand
from components.secrets import secret
from config.schema import StackConfig
from network.plan import NetworkPlan
from providers.base import Site


def sites_of(config: StackConfig, plan: NetworkPlan, opts: pulumi.ResourceOptions) -> list[Site]:
    """The sites of a stack's regions; `opts` carries the provider of commands."""
    made = any(region.provider.creates and region.provider.kind != "lab" for region in config.regions)
    seed = _host_key_seed(opts) if made else pulumi.Output.from_input("")
    return [
        Site(
            config=region,
            plan=plan.region(region.name),
            network=plan,
            ssh=config.access.ssh,
            host_key_seed=seed,
            public_api=config.access.api == "public",
        )
        for region in config.regions
    ]


def _host_key_seed(opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """
    Made once, before the first machine; another one would be another host key for every machine. The seed of the
    cluster's tokens cannot serve: it is made when there is a cluster.
    """
    keep = pulumi.ResourceOptions(additional_secret_outputs=["stdout"], protect=True)
    command = LocalCommand(
        "host-key-seed",
        create="python -m ops v1 secret",
        logging="none",
        opts=pulumi.ResourceOptions.merge(opts, keep),
    )
    return secret(command.stdout.apply(lambda text: str(json.loads(text)["seed"])))
