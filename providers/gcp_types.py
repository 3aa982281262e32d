"""Resources of Google Cloud, without pulumi_gcp's generated classes, which cost seconds of every preview.

They register the same: tests hold each input against the classes of the SDK (tests/components/test_gcp.py, by
sdk_inputs.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pulumi

Kind = Literal[
    "Account",
    "Address",
    "Cluster",
    "Firewall",
    "ForwardingRule",
    "IAMMember",
    "Instance",
    "InstanceGroup",
    "Network",
    "NodePool",
    "RegionBackendService",
    "RegionHealthCheck",
    "Route",
    "Router",
    "RouterNat",
    "Subnetwork",
]

# Where the SDK has those that are none of Compute Engine's.
_MODULES = {
    "Account": "serviceaccount/account",
    "Cluster": "container/cluster",
    "IAMMember": "projects/iAMMember",
    "NodePool": "container/nodePool",
}


class GcpResource(pulumi.CustomResource):
    """A resource of Google Cloud; `outputs` are the properties that are read of it, by their names on the wire."""

    # https://www.pulumi.com/registry/packages/gcp/api-docs/compute; selfLink is a resource's full URL.
    address: pulumi.Output[str]
    name: pulumi.Output[str]
    selfLink: pulumi.Output[str]
    email: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    masterAuth: pulumi.Output[Any]
    privateClusterConfig: pulumi.Output[Any]
    managedInstanceGroupUrls: pulumi.Output[Any]

    def __init__(
        self,
        kind: Kind,
        resource_name: str,
        inputs: Mapping[str, Any],
        opts: pulumi.ResourceOptions,
        *,
        outputs: Sequence[str] = (),
    ) -> None:
        module = _MODULES.get(kind, f"compute/{kind[0].lower()}{kind[1:]}")
        wanted = dict.fromkeys(name for name in outputs if name not in inputs)
        super().__init__(f"gcp:{module}:{kind}", resource_name, {**inputs, **wanted}, opts)


def provider(project: str, region: str) -> pulumi.ProviderResource:
    """The SDK's own class, for the version of the plugin; it loads none of the SDK's modules."""
    import pulumi_gcp

    found: pulumi.ProviderResource = pulumi_gcp.Provider(
        f"gcp-{project}-{region}", project=project, region=region
    )
    return found
