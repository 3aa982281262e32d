"""Places machines come from: one module per kind, all behind the interface of providers.base."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import pulumi

from config.schema import AwsProvider, GcpProvider, HyperstackProvider, LabProvider, NebiusProvider
from providers.base import RegionProvider, Site
from providers.sellers import Sellers

__all__ = ["RegionProvider", "Site", "provider_factory"]


def provider_factory(
    seller_keys: Mapping[str, pulumi.Output[str]],
) -> Callable[[Site, pulumi.ResourceOptions], RegionProvider]:
    """
    Make region providers of one stack. A kind's module is imported only when a region uses it: the SDK of a cloud
    costs a second of every preview. Cloud credentials are held once per kind and account, not per region.
    """

    @cache
    def lab_account() -> pulumi.ProviderResource:
        from providers.lab import lab_provider

        return lab_provider()

    @cache
    def gcp_account(project: str, region: str) -> pulumi.ProviderResource:
        from providers.gcp import gcp_provider

        return gcp_provider(project, region)

    @cache
    def aws_account(region: str) -> pulumi.ProviderResource:
        from providers.aws import aws_provider

        return aws_provider(region)

    sellers = Sellers(seller_keys)

    def create(site: Site, opts: pulumi.ResourceOptions) -> RegionProvider:
        place = site.config.provider
        if isinstance(place, LabProvider):
            from providers.lab import LabRegion

            return LabRegion(site.plan.name, place, site.plan.node_cidr, lab_account(), opts)
        if isinstance(place, GcpProvider):
            from providers.gcp import GcpRegion

            return GcpRegion(site, place, gcp_account(place.project, place.region), opts)
        if isinstance(place, AwsProvider):
            from providers.aws import AwsRegion

            return AwsRegion(site, place, aws_account(place.region), opts)
        if isinstance(place, HyperstackProvider | NebiusProvider):
            return sellers.region(site, place, opts)
        from providers.ssh import SshRegion

        return SshRegion(site.config.machines, site.ssh.user)

    return create
