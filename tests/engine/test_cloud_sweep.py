"""Every resource type of both SDKs, as read by the stand-ins, against its imported classes: minutes each."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.stacks import ROOT

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(("package", "at_least"), [("gcp", 1400), ("aws", 1700)])
def test_every_type_is_read_as_its_class_is(package: str, at_least: int) -> None:
    # In a process of its own: the classes of one SDK take a gigabyte.
    done = subprocess.run(
        [sys.executable, "-m", "tests.cloud_classes", package],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    count, _, differences = done.stdout.partition("\n")
    assert (done.returncode, differences.strip()) == (0, ""), done.stdout[-3000:] + done.stderr[-3000:]
    assert int(count) >= at_least
