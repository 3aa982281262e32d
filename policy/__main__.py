"""Starts the policy pack: the engine runs this directory as a program. Nothing else may import it."""

from pulumi_policy import EnforcementLevel, PolicyPack
from rules import RULES, host

host.use()
PolicyPack("tailspan", policies=RULES, enforcement_level=EnforcementLevel.MANDATORY)
