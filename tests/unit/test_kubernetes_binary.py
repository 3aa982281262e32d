"""Kubernetes' programs on a machine: another minor is fetched, checked and put to use, the same one is left alone."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from bootstrap.script import FILES

NEW = "#!/bin/sh\necho Kubernetes v1.35.2\n"


def run(root: Path, installed: str, checksum: str | None = None) -> tuple[int, str, str]:
    """Exit status, what was said, and which files count as changed, after the step on a machine made of files."""
    node = (FILES / "node.sh").read_text()
    begin, end = node.index("say() {"), node.index("preflight() {")
    step = node[node.index("kubernetes_binary() {") :]
    step = step[: step.index("\n}\n") + 3]
    text = node[begin:end] + step
    text = text.replace("/usr/local/bin", f"{root}/bin").replace("/run/tailspan", f"{root}/tailspan")
    folder = root / "bin"
    folder.mkdir()
    for name, body in {
        "kubelet": f"#!/bin/sh\necho Kubernetes v{installed}\n",
        "curl": '#!/bin/bash\nif [[ $* == *-o* ]]; then\n  while [ "$1" != -o ]; do shift; done\n'
        f'  cp {root}/new "$2"\nelse\n  cat {root}/sum\nfi\n',
    }.items():
        (folder / name).write_text(body)
        (folder / name).chmod(0o755)
    (root / "new").write_text(NEW)
    (root / "sum").write_text(checksum or hashlib.sha256(NEW.encode()).hexdigest())
    values = "NODE_NAME=tx-a STEP=packages KUBERNETES_VERSION=1.35.2"
    script = f"set -euo pipefail\n{values}\n{text}\nkubernetes_binary kubelet\n"
    script += f'! changed {root}/bin/kubelet || echo changed\ncat "$PENDING" 2>/dev/null || true\n'
    done = subprocess.run(
        ["bash"], input=script, text=True, capture_output=True, check=False,
        env={"PATH": f"{root}/bin:/usr/bin:/bin"},
    )  # fmt: skip
    return done.returncode, done.stderr, done.stdout


def test_the_minor_that_is_there_is_kept(tmp_path: Path) -> None:
    assert run(tmp_path, "1.35.0") == (0, "", "")


def test_another_minor_is_put_to_use_also_after_an_interruption(tmp_path: Path) -> None:
    code, said, changed = run(tmp_path, "1.34.9")
    assert code == 0, said
    assert (tmp_path / "bin" / "kubelet").read_text() == NEW
    # Once in this run's memory, and once in the one that outlives it.
    assert changed.split() == ["changed", f"{tmp_path}/bin/kubelet"]


@pytest.mark.parametrize("wrong", ["0" * 64])
def test_a_download_that_is_not_what_was_published_is_refused(tmp_path: Path, wrong: str) -> None:
    code, said, _ = run(tmp_path, "1.34.9", wrong)
    assert code == 1
    assert "tailspan[tx-a] FAILED at packages: checksum of kubelet" in said
    assert (tmp_path / "bin" / "kubelet").read_text() != NEW
