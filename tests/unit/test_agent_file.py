"""The agent as one file: small, the same bytes every time, and complete."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

from bootstrap.agent import zipapp


def test_the_file_is_the_same_every_time_and_small() -> None:
    content = zipapp()
    assert content == zipapp()
    assert len(content) < 1 << 20


def test_the_file_holds_the_agent_and_of_pyroute2_only_message_formats() -> None:
    names = zipfile.ZipFile(io.BytesIO(zipapp())).namelist()
    assert "agent/__main__.py" in names
    assert "agent/core/gateway.py" in names
    assert [name for name in names if not name.startswith(("agent/", "pyroute2/"))] == ["__main__.py"]
    assert len([name for name in names if name.startswith("pyroute2/")]) == 8


def test_it_runs_alone_in_a_bare_python(tmp_path: Path) -> None:
    """Without the checkout and without this environment's packages; -S leaves site-packages out."""
    program = tmp_path / "agent.pyz"
    program.write_bytes(zipapp())
    missing = subprocess.run(
        [sys.executable, "-I", "-S", program, "--config", tmp_path / "none.json", "run"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert missing.returncode == 1
    assert "none.json: FileNotFoundError" in missing.stderr


def test_a_broken_configuration_is_named() -> None:
    import pytest

    from agent.config import ConfigError, parse

    with pytest.raises(ConfigError, match="role is 'router'; write gateway or node"):
        parse({"role": "router"}, bytes(32))
    with pytest.raises(ConfigError, match="at least 32 hexadecimal digits"):
        parse({}, b"short")
