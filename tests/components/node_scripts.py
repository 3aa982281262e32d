"""Reads node scripts the way a machine would: bash writes the files, into a directory of the test."""

from __future__ import annotations

import subprocess
from pathlib import Path

# From here on a script acts on the machine; what stands before are values and functions.
ACTION = "# A second operator run waits"
WRITERS = ("write_files", "bootstrap_kubeconfig", "connector_key")

_INTO = """
ROOT=$1; CHANGED=
put() { mkdir -p "$ROOT$(dirname "$2")"; cat >"$ROOT$2"; }
fill_in() { cat; }
for writer in %s; do ! declare -F "$writer" >/dev/null || "$writer"; done 2>/dev/null
"""


def check_syntax(script: str) -> None:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, capture_output=True)


def written_by(script: str, root: Path) -> dict[str, str]:
    """The files that a script would write, by their path on the machine."""
    harmless = script[: script.index(ACTION)] + _INTO % " ".join(WRITERS)
    subprocess.run(["bash", "-s", str(root)], input=harmless, text=True, check=True, capture_output=True)
    return {f"/{path.relative_to(root)}": path.read_text() for path in root.rglob("*") if path.is_file()}


def values_in(script: str, *names: str) -> dict[str, str]:
    """What bash makes of a script's variables."""
    harmless = script[: script.index(ACTION)]
    show = "".join(f'printf "%s\\0" "${{{name}}}"\n' for name in names)
    found = subprocess.run(["bash", "-s"], input=harmless + show, text=True, check=True, capture_output=True)
    return dict(zip(names, found.stdout.split("\0")[:-1], strict=True))
