"""The network-only lab finds its programs where `python -m tools lab` put them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Another room's tests point it elsewhere, for the rest of the session.
_HOME = os.environ.get("TAILSPAN_HOME")


@pytest.fixture(scope="session", autouse=True)
def home() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAILSPAN_HOME", _HOME) if _HOME else patch.delenv("TAILSPAN_HOME", raising=False)
        yield
