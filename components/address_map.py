"""The address map of a stack, as a resource of its own so that policies and reviewers see it before anything exists."""

from __future__ import annotations

import pulumi

from config.schema import StackConfig


class AddressMap(pulumi.ComponentResource):
    """
    The ranges as they are written in the stack file. It is registered before the network plan judges them: the
    policies' verdict on a broken file is then part of the same preview.
    """

    def __init__(self, name: str, config: StackConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = {
            "serviceCidr": str(config.kubernetes.service_cidr),
            "regions": [
                {"name": region.name, "nodeCidr": str(region.node_cidr), "podCidr": str(region.pod_cidr)}
                # The hub, then by name: the order of the file must not show.
                for region in sorted(config.regions, key=lambda region: (region.kind != "cloud", region.name))
            ],
        }
        super().__init__("tailspan:components:AddressMap", name, inputs, opts)
        # Policies over the whole stack see outputs, not inputs.
        self.register_outputs(inputs)
