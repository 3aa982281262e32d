"""Reads node scripts the way a machine would: bash itself says what they would write, and nothing is run."""

from __future__ import annotations

import subprocess
from pathlib import Path

# From here on a script acts on the machine; what stands before are values and functions.
ACTION = "# A second operator run waits"

# Built-ins only: a process for each file would make these tests slow.
_SHOW_FILES = r"""
put() { local text; IFS= read -r -d '' text || :; printf '%s\0%s\0' "$2" "$text"; }
fill_in() { local text; IFS= read -r -d '' text || :; printf '%s' "$text"; }
for writer in write_files bootstrap_kubeconfig connector_manifest connector_key agent_manifest; do
  ! declare -F "$writer" >/dev/null || "$writer"
done
"""


def check_syntax(script: str) -> None:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, capture_output=True)


def written_by(script: str, directory: Path | None = None) -> dict[str, str]:
    """The files that a script would write, by path; whatever escaped from them would act in `directory`."""
    shown = _shown(script, _SHOW_FILES, directory)
    return dict(zip(shown[::2], shown[1::2], strict=True))


def values_in(script: str, *names: str, directory: Path | None = None) -> dict[str, str]:
    """What bash makes of a script's variables."""
    show = "".join(f'printf "%s\\0" "${{{name}}}"\n' for name in names)
    return dict(zip(names, _shown(script, show, directory), strict=True))


def _shown(script: str, show: str, directory: Path | None) -> list[str]:
    harmless = script[: script.index(ACTION)] + show
    done = subprocess.run(
        ["bash", "-s"], input=harmless, text=True, check=True, capture_output=True, cwd=directory
    )
    return done.stdout.split("\0")[:-1]
