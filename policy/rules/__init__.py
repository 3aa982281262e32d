"""All rules of the pack as values, one module per risk; they judge anyone's resources."""

from pulumi_policy import Policy

from . import addresses, cluster, limits, reachability, restarts, routes, secrets, tailnet, theft

# A risk's name is its module's: the pages of docs/policies.md follow this order.
RISKS = (addresses, reachability, tailnet, routes, cluster, restarts, secrets, theft, limits)

RULES: list[Policy] = [rule for risk in RISKS for rule in risk.RULES]
