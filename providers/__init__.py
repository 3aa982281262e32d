"""Places machines come from: one module per kind, all behind the interface of providers.base."""

from __future__ import annotations

from collections.abc import Callable

import pulumi

from config.schema import LabProvider, RegionConfig
from providers.base import RegionProvider

__all__ = ["RegionProvider", "provider_factory"]


def provider_factory(ssh_user: str) -> Callable[[RegionConfig, pulumi.ResourceOptions], RegionProvider]:
    """
    Make region providers of one stack. A kind's module is imported only when a region uses it: the SDK of a cloud
    costs a second of every preview. Cloud credentials are held once per kind, not per region.
    """
    shared: dict[str, pulumi.ProviderResource] = {}

    def create(region: RegionConfig, opts: pulumi.ResourceOptions) -> RegionProvider:
        if isinstance(region.provider, LabProvider):
            from providers.lab import LabRegion, lab_provider

            credentials = shared.get("lab") or lab_provider()
            shared["lab"] = credentials
            return LabRegion(region.name, region.provider, region.node_cidr, credentials, opts)
        from providers.ssh import SshRegion

        return SshRegion(region.machines, ssh_user)

    return create
