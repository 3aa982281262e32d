"""What the name of an EC2 instance type says (https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html)."""

from __future__ import annotations

import re

# The letter g after the generation: Amazon's own Arm processors.
_ARM = re.compile(r"^(?:[a-z]+\d+g[a-z]*(?:-[a-z0-9-]+)?|a1)\.")
_ACCELERATED = re.compile(r"^(?:p|g|gr|dl|trn|inf|vt|f)\d")


def is_arm(machine_type: str) -> bool:
    """Whether machines of a type need an image for arm64."""
    return bool(_ARM.match(machine_type))


def has_accelerators(machine_type: str) -> bool:
    """Whether GPUs or other accelerators are what a type is rented for."""
    return bool(_ACCELERATED.match(machine_type))
