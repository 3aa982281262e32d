"""
How long the pack takes over a stack of many SSH machines as tailspan declares them, two resources each.
`python -m tests.policy.speed [RESOURCES]` prints CPU seconds, because a preview does other things meanwhile.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from pulumi.runtime import proto
from pulumi_policy import EnforcementLevel

from policy.rules import RULES
from policy.rules.host import RuleHost
from tests.components.deploy import deployed
from tests.components.recording import Recording, Resource, Secret
from tests.components.stacks import dev
from tests.policy.wire import secret, struct

REGION = "tailspan:components:GpuProviderRegion"
MACHINE = "gpu-c-"


def wire(value: Any) -> Any:
    """A recorded input as the engine sends it."""
    if isinstance(value, Secret):
        return secret(wire(value.value))
    if isinstance(value, dict):
        return {key: wire(inner) for key, inner in value.items()}
    return [wire(inner) for inner in value] if isinstance(value, list | tuple) else value


def resources(recording: Recording, wanted: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Type, URN and inputs: the stack, and one machine of it over and over."""
    machine = [item for item in recording.resources.values() if item.name.startswith(MACHINE)]
    others = [item for item in recording.resources.values() if item not in machine]
    copies = -(-(wanted - len(others)) // len(machine))
    return [_resource(item, "") for item in others] + [
        _resource(item, f"-{copy}") for copy in range(copies) for item in machine
    ]


def _resource(item: Resource, suffix: str) -> tuple[str, str, dict[str, Any]]:
    inside = f"{REGION}$" if item.type.startswith("command:") else ""
    return item.type, f"urn:pulumi:dev::tailspan::{inside}{item.type}::{item.name}{suffix}", wire(item.inputs)


def main(wanted: int) -> None:
    stack = [
        {"type": kind, "urn": urn, "name": urn.rsplit("::")[-1], "properties": struct(inputs)}
        for kind, urn, inputs in resources(deployed(dev(), preview=False), wanted)
    ]
    one = [proto.AnalyzeRequest(**fields) for fields in stack]
    together = proto.AnalyzeStackRequest(resources=[proto.AnalyzerResource(**fields) for fields in stack])
    host = RuleHost("tailspan", "0.1.0", list(RULES), EnforcementLevel.MANDATORY)
    begun = time.process_time()
    for request in one:
        host.Analyze(request, None)
    each = time.process_time() - begun
    host.AnalyzeStack(together, None)
    total = time.process_time() - begun
    print(
        f"{len(stack)} resources, {len(RULES)} rules: {total:.2f} s of CPU "
        f"({each:.2f} s one by one, {total - each:.2f} s together)"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
