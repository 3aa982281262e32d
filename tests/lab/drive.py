"""`python -m lab`, with the stack files of another folder: tests edit a stack without touching the checkout."""

from __future__ import annotations

import sys
from pathlib import Path

from lab import cli
from lab.engine_files import Files
from tools import paths


def of_lab(stack: str) -> Files:
    """The lab's one state, as the launcher has it; only what the stack should be comes from elsewhere."""
    return Files(stack, paths.lab_dir() / "pulumi", SOURCE)


if __name__ == "__main__":
    SOURCE = Path(sys.argv.pop(1))
    Files.of_lab = staticmethod(of_lab)  # type: ignore[method-assign]
    cli.main()
