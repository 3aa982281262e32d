"""Hyperstack: virtual machines by an HTTP API; its requests are in ops/sellers/hyperstack.py."""

from __future__ import annotations

import pulumi

from config.schema import HyperstackProvider
from providers.base import Site
from providers.rented import RentedRegion, SellerAccount


def hyperstack_region(site: Site, place: HyperstackProvider, key: pulumi.Output[str]) -> RentedRegion:
    """A region in one environment of Hyperstack."""
    where = {"environment": place.environment, "image": place.image, "key_name": place.key_name}
    return RentedRegion(site, SellerAccount(seller=place.kind, place=where, key=key))
