"""Names that a cloud makes of ours: a cluster's, a role's, a node pool's."""

from __future__ import annotations

from collections.abc import Iterator

from config.schema import CloudRegionConfig

# What Pulumi adds to a name that it gives to a resource itself.
PULUMI_SUFFIX = 8


def name_lines(
    region: CloudRegionConfig, longest: int, limit: str, longest_group: int, group_limit: str
) -> Iterator[str]:
    """The cloud's names are made of the region's and of the groups', and a few characters are added to them."""
    if len(region.name) > longest:
        yield (
            f"the region's name has {len(region.name)} characters, and {limit}, of which some are added; write a "
            f"name of at most {longest} characters"
        )
    for group in region.node_groups:
        whole = f"{region.name}-{group.name}"
        if len(whole) > longest_group:
            yield (
                f"node group {group.name}: {whole} has {len(whole)} characters, and {group_limit}, of which some are "
                f"added; write names of at most {longest_group} characters together"
            )
