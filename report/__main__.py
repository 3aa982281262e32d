"""`python -m report STACK [FOLDER]`: preview a real stack with the official command line, as a report."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from report.files import write
from report.live import live_report
from report.terminal import show


def main(stack: str, folder: str = "") -> int:
    """0 if the change can be made and every policy agrees."""
    report = live_report(stack, Path(__file__).resolve().parent.parent)
    show(report, Console(stderr=True))
    if folder:
        write(report, Path(folder))
    return 0 if report.verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
