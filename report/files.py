"""Where a report goes: Markdown and JSON in a folder, and onto the page of a GitHub run."""

from __future__ import annotations

import json
import os
from pathlib import Path

from report.markdown import markdown
from report.model import Report

# A run's page shows what its steps append to the file of this name (GitHub Actions: job summaries).
SUMMARY = "GITHUB_STEP_SUMMARY"


def write(report: Report, folder: Path) -> None:
    """`<stack>.md` and `<stack>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(report)
    (folder / f"{report.stack}.md").write_text(text)
    (folder / f"{report.stack}.json").write_text(
        json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n"
    )
    if summary := os.environ.get(SUMMARY):
        with Path(summary).open("a") as page:
            page.write(text)
