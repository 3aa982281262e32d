"""The sellers of GPU machines: each a module of its own, imported when a region uses it."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from config.schema import HyperstackProvider, NebiusProvider
from providers.base import RegionProvider, Site


class Sellers:
    """Regions at sellers; credentials are held once per account."""

    def __init__(self, keys: Mapping[str, pulumi.Output[str]]) -> None:
        self._keys = keys
        self._projects: dict[str, pulumi.ProviderResource] = {}

    def region(
        self, site: Site, place: HyperstackProvider | NebiusProvider, opts: pulumi.ResourceOptions
    ) -> RegionProvider:
        if isinstance(place, HyperstackProvider):
            from providers.hyperstack import hyperstack_region

            return hyperstack_region(site, place, self._keys[place.kind])
        from providers.nebius import NebiusRegion, nebius_provider

        if place.project not in self._projects:
            self._projects[place.project] = nebius_provider(place.project)
        return NebiusRegion(site, place, self._projects[place.project], opts)
