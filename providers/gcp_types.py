"""Resources of Google Cloud, without pulumi_gcp's generated classes, which cost seconds of every preview.

They register the same: a test holds each input against the classes of the SDK (tests/components/test_gcp_inputs.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pulumi

Kind = Literal[
    "Address",
    "Firewall",
    "ForwardingRule",
    "Instance",
    "InstanceGroup",
    "Network",
    "RegionBackendService",
    "RegionHealthCheck",
    "Route",
    "Router",
    "RouterNat",
    "Subnetwork",
]


class GcpResource(pulumi.CustomResource):
    """A resource of Compute Engine; `outputs` are the properties that are read of it, by their names on the wire."""

    # https://www.pulumi.com/registry/packages/gcp/api-docs/compute; selfLink is a resource's full URL.
    address: pulumi.Output[str]
    name: pulumi.Output[str]
    selfLink: pulumi.Output[str]

    def __init__(
        self,
        kind: Kind,
        resource_name: str,
        inputs: Mapping[str, Any],
        opts: pulumi.ResourceOptions,
        *,
        outputs: Sequence[str] = (),
    ) -> None:
        module = kind[0].lower() + kind[1:]
        wanted = dict.fromkeys(name for name in outputs if name not in inputs)
        super().__init__(f"gcp:compute/{module}:{kind}", resource_name, {**inputs, **wanted}, opts)


def provider(project: str, region: str) -> pulumi.ProviderResource:
    """The SDK's own class, for the version of the plugin; it loads none of the SDK's modules."""
    import pulumi_gcp

    found: pulumi.ProviderResource = pulumi_gcp.Provider(
        f"gcp-{project}-{region}", project=project, region=region
    )
    return found
