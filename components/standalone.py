"""Gateways of a cloud region that are no nodes of its cluster: machines with Tailscale and the route agent, no more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import pulumi

from bootstrap.eks import eks_script
from components.command import LocalCommand
from components.nodes import connector_of, run_script
from components.region import RegionArgs
from components.route_agent import agent_key
from components.secrets import secret
from components.tailnet import hostnames
from network.plan import NodePlan
from providers.base import Machine


def standalone_gateways(
    args: RegionArgs, machines: Mapping[str, Machine], seed: pulumi.Output[str], parent: pulumi.Resource
) -> list[pulumi.Resource]:
    """One after the other, as in any region: a gateway's script ends when it forwards."""
    former: list[pulumi.Resource] = []
    ways: list[pulumi.Resource] = []
    for node in args.plan.gateways:
        connector = connector_of(node, args.plan, args.tailnet, parent)
        known = pulumi.Output.all(seed, connector)
        script = secret(known.apply(partial(_script, args, node)))
        command = run_script(machines[node.name], script, parent, after=former)
        # Nobody else would tell the tailnet when the machine is gone.
        device = LocalCommand(
            f"{node.name}-device",
            create="python -m ops v1 device-keep",
            update="python -m ops v1 device-keep",
            delete="python -m ops v1 device-delete",
            stdin=secret(args.tailnet.api().apply(partial(_device, node))),
            opts=pulumi.ResourceOptions(parent=parent, depends_on=[command]),
        )
        former = [command]
        ways += [command, device]
    return ways


def _script(args: RegionArgs, node: NodePlan, values: list[Any]) -> str:
    seed, connector = values
    key = agent_key(seed, args.plan.name)
    return eks_script(args.cluster, args.plan, node, None, connector, key)


def _device(node: NodePlan, tailnet: Any) -> str:
    *replaced, current = hostnames(node)
    device = {"tailnet": tailnet, "hostname": current, "replaces": replaced}
    return json.dumps({"device": device}, sort_keys=True)
