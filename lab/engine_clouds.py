"""The lab brings up no real cloud: said before the first resource is made, in the lab or at a cloud."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from lab.engine_files import EngineError, Files

# The stand-in plugins that can only preview (lab/plugins/cloud).
PREVIEW_ONLY = ("aws", "gcp")
STACK_KEY = "tailspan:stack"


def refuse_real_clouds(files: Files) -> None:
    file = files.find()
    config = (yaml.safe_load(file.read_text()) or {}).get("config") or {}
    clouds = dict(_regions_at_clouds(config.get(STACK_KEY)))
    if clouds:
        said = ", ".join(f"region {region} is at {kind}" for region, kind in clouds.items())
        raise EngineError(
            f"{file.name}: {said}, which the lab can only preview (make preview STACK={files.stack}). For the real "
            f"thing run `pulumi up --stack {files.stack}` with the official plugins and your own account."
        )


def _regions_at_clouds(stack: Any) -> Iterator[tuple[str, str]]:
    """What is no stack at all is for the program to refuse."""
    regions = stack.get("regions") if isinstance(stack, dict) else None
    for region in regions if isinstance(regions, list) else ():
        provider = region.get("provider") if isinstance(region, dict) else None
        kind = provider.get("kind") if isinstance(provider, dict) else None
        if kind in PREVIEW_ONLY:
            yield str(region.get("name")), str(kind)
