"""Which routes of a cloud the region's gateways have to lead to themselves: a cloud that knows no dead next hop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from config.schema import AwsProvider, RegionConfig

# The tag of what is made for a region at Amazon: by it the gateways find their VPC's tables.
REGION_TAG = "tailspan:region"


@dataclass(frozen=True, kw_only=True)
class CloudRoutes:
    """Route tables of Amazon; those that are made are found by tag, and have no id before."""

    kind: Literal["aws"]
    tables: tuple[str, ...]
    tag: tuple[str, str]


def cloud_routes(region: RegionConfig, gateways: int) -> CloudRoutes | None:
    """None where the cloud looks after its routes itself, has none, or nobody else could take them over."""
    place = region.provider
    if not isinstance(place, AwsProvider) or gateways < 2:
        return None
    return CloudRoutes(
        kind="aws",
        tables=tuple(sorted(place.vpc.route_tables)) if place.vpc else (),
        tag=(REGION_TAG, region.name),
    )
