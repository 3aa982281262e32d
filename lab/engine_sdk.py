"""What of Pulumi's Python SDK costs a preview more than it gives, done otherwise while the launcher runs a program.

Three things of pulumi 3.250 (runtime/stack.py and runtime/resource.py). The program knows nothing of this: under the
official CLI it runs with the SDK as it is, and a preview of a thousand listed machines takes some times longer.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pulumi
from pulumi.runtime import resource, stack
from pulumi.runtime.proto import source_pb2


def quicken(*, planning: bool) -> None:
    """Idempotent; a preview also goes without what only a state would keep."""
    # The SDK sends five messages a resource, each a round trip that the program waits for; nobody reads them.
    pulumi.log.debug = lambda *_, **__: None
    # At the program's end it waits for all outputs, and looks at every one again whenever one is done.
    setattr(stack, "asyncio", SimpleNamespace(**{**vars(asyncio), "wait": _wait_for_all}))  # noqa: B010
    if planning:
        # Where in the program each resource was made: a traceback for each, which no preview shows.
        setattr(resource, "_get_stack_trace", source_pb2.StackTrace)  # noqa: B010


async def _wait_for_all(tasks: Any, *, return_when: str) -> Any:
    """Everything, or the first that fails; `return_when` says: the first that is done."""
    del return_when
    return await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
