"""A tailspan home of its own for the whole room: nothing touches the user's."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # Loading it warns about a deprecated sibling of what we use, and warnings are errors here.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pulumi_command.remote import Command as _loaded  # noqa: F401

from tests.engine.bench import Bench
from tools import paths


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([str(paths.bin_dir()), os.environ["PATH"]]))
        patch.setenv("TAILSPAN_HOME", str(folder))
        yield folder


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.at(tmp_path)
