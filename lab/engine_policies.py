"""Which policy packs an operation runs, and with which levels and settings of the stack."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.engine_files import EngineError
from tools import paths


def own_pack() -> Path:
    return paths.repo_root() / "policy"


def policy_options(packs: Sequence[str], stack: str) -> dict[str, Any]:
    """
    Options of the Automation API. A stack's file in a pack is `config.<stack>.json`; one of our own pack is refused
    here, all its problems at once, before the engine starts. The engine itself would ignore a rule that does not exist.
    """
    files = [Path(pack) / f"config.{stack}.json" for pack in packs]
    if not any(file.exists() for file in files):
        return {"policy_packs": list(packs)}
    for pack, file in zip(packs, files, strict=True):
        if file.exists() and Path(pack).resolve() == own_pack():
            _check(file)
    # The CLI wants a file for every pack or for none, and takes an empty one.
    configs = [str(file) if file.exists() else os.devnull for file in files]
    return {"policy_packs": list(packs), "policy_pack_configs": configs}


def _check(file: Path) -> None:
    # Loaded only where a stack has such a file: the rules bring the policy SDK with them.
    from policy.rules import RULES
    from policy.rules.settings import SettingsError, check_settings

    try:
        check_settings(file, RULES)
    except SettingsError as problem:
        raise EngineError(str(problem)) from None
