"""All rules of the pack as values, one module per risk; they judge anyone's resources."""

from pulumi_policy import Policy

from . import addresses, limits, reachability

# A risk's name is its module's: the pages of docs/policies.md follow this order.
RISKS = (addresses, reachability, limits)

RULES: list[Policy] = [rule for risk in RISKS for rule in risk.RULES]
