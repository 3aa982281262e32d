"""Documents that are written from the code: `make docs` writes them, a test fails while one is behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from config.docs import SCHEMA_FILE, configuration_page, schema_text

ROOT = Path(__file__).resolve().parent.parent

# Each file and what its content is made by; a document more is a line more.
DOCUMENTS: dict[str, Callable[[], str]] = {
    "docs/configuration.md": configuration_page,
    SCHEMA_FILE: schema_text,
}


def behind() -> list[str]:
    """The documents whose file differs from what the code says now."""
    return [name for name, write in DOCUMENTS.items() if _read(ROOT / name) != write()]


def write_all() -> list[str]:
    """Writes what is behind, and says what that was."""
    changed = behind()
    for name in changed:
        (ROOT / name).write_text(DOCUMENTS[name]())
    return changed


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
