"""Places machines come from: one module per kind, all behind the interface of providers.base."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pulumi

from config.schema import LabProvider, RegionConfig
from providers.base import RegionProvider

__all__ = ["RegionProvider", "provider_factory"]


def provider_factory(ssh_user: str) -> Callable[[RegionConfig, pulumi.ResourceOptions], RegionProvider]:
    """
    Make region providers of one stack. A kind's module is imported only when a region uses it: the SDK of a cloud
    costs a second of every preview. Cloud credentials are held once per kind, not per region.
    """

    @cache
    def lab_account() -> pulumi.ProviderResource:
        from providers.lab import lab_provider

        return lab_provider()

    def create(region: RegionConfig, opts: pulumi.ResourceOptions) -> RegionProvider:
        if isinstance(region.provider, LabProvider):
            from providers.lab import LabRegion

            return LabRegion(region.name, region.provider, region.node_cidr, lab_account(), opts)
        from providers.ssh import SshRegion

        return SshRegion(region.machines, ssh_user)

    return create
