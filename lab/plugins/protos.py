"""The engine's gRPC messages without the rest of the Pulumi SDK, which doubles a plugin's start time."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType


def _outline(name: str) -> None:
    """Register a package whose submodules can be imported although its own __init__ has not run."""
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(
            f"{name} is not installed: run the launcher from the project's virtual environment"
        )
    package = ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules[name] = package


# Only a process that has not imported the SDK (a plugin, never the program) takes the short way.
if "pulumi" not in sys.modules:
    for _package in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
        _outline(_package)

from pulumi.runtime.proto import (  # noqa: E402
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

__all__ = ["engine_pb2", "engine_pb2_grpc", "plugin_pb2", "provider_pb2", "provider_pb2_grpc", "status_pb2"]
