"""
Resource types of both SDKs, as read by the stand-ins, against their imported classes: a sample of all parts, and all of
them with TAILSPAN_SWEEP=1 (`make sweep`), which takes minutes and a gigabyte each.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.stacks import ROOT

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]
EVERY = 1 if os.environ.get("TAILSPAN_SWEEP") else 20


@pytest.mark.parametrize(("package", "types"), [("gcp", 1400), ("aws", 1700)])
def test_every_type_is_read_as_its_class_is(package: str, types: int) -> None:
    command = [sys.executable, "-m", "tests.cloud_classes", package, str(EVERY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    count, _, differences = done.stdout.partition("\n")
    assert (done.returncode, differences.strip()) == (0, ""), done.stdout[-3000:] + done.stderr[-3000:]
    assert int(count) >= types // EVERY
