"""All rules of the pack as values, one module per risk; they judge anyone's resources."""

from pulumi_policy import Policy

from .addresses import ADDRESS_MAP_HAS_NO_OVERLAP, NETWORKS_HAVE_NO_OVERLAP
from .reachability import FIREWALLS_OPEN_WIREGUARD, REGIONS_OPEN_WIREGUARD

RULES: list[Policy] = [
    ADDRESS_MAP_HAS_NO_OVERLAP,
    NETWORKS_HAVE_NO_OVERLAP,
    REGIONS_OPEN_WIREGUARD,
    FIREWALLS_OPEN_WIREGUARD,
]
