"""GitHub's workflows before the judges that `make lint` runs, and that these would notice what must not be there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stacks import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = ("actionlint", "-shellcheck=", "-pyflakes=")
ZIZMOR = (str(Path(sys.executable).parent / "zizmor"), "--offline", "--quiet")
INJECTION = """
name: hello
on: pull_request_target
permissions: {}
jobs:
  hello:
    runs-on: ubuntu-24.04
    steps:
      - run: echo "${{ github.event.pull_request.title }}"
"""


def judge(command: tuple[str, ...], *files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *map(str, files)], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [ACTIONLINT, ZIZMOR], ids=["actionlint", "zizmor"])
def test_our_workflows_pass(command: tuple[str, ...]) -> None:
    done = judge(command, *WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [ACTIONLINT, ZIZMOR], ids=["actionlint", "zizmor"])
def test_a_title_that_reaches_a_shell_is_found(command: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "hello.yml").write_text(INJECTION)
    done = judge(command, folder / "hello.yml")
    assert done.returncode != 0
    assert "github.event.pull_request.title" in done.stdout
