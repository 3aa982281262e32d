"""Debian's Python, unpacked into a folder of its own: what the lab's stand-in for the stock Python image is made of.

It is not in the machine image, so that no script of ours comes to need a Python on somebody's machine.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tools import paths, store, system, versions

# The version of the suite in versions.toml; bootstrap/images.py names the public image with the same one.
VERSION = "3.11"
PACKAGES = (f"python{VERSION}-minimal", f"libpython{VERSION}-minimal", f"libpython{VERSION}-stdlib")
LIBRARY = f"usr/lib/python{VERSION}"
PROGRAM = f"usr/bin/python{VERSION}"


def folder() -> Path:
    return paths.rootfs_store() / "python" / store.digest(versions.debian_suite(), *PACKAGES)


def ensure() -> Path:
    """The packages' files. The shared libraries that they need are in the machine image."""
    final = folder()
    with store.locked("python", "Debian's Python"):
        if not final.exists():
            with store.partial(final) as work:
                _unpack(work)
    return final


def _unpack(work: Path) -> None:
    debs, target, log = paths.home() / "debs", work / "debootstrap", paths.logs_dir() / "python-image.log"
    debs.mkdir(parents=True, exist_ok=True)
    # It checks Debian's signatures, and has most of what it asks for from the machine image's own run.
    command = ["debootstrap", "--download-only", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    store.run(
        [
            *store.CONTAINED,
            *command,
            f"--cache-dir={debs}",
            versions.debian_suite(),
            target,
            system.debian_mirror(),
        ],
        log=log,
        env={"LC_ALL": "C"},
    )
    for package in PACKAGES:
        found = sorted((target / "var/cache/apt/archives").glob(f"{package}_*.deb"))
        if not found:
            raise paths.ToolchainError(
                f"{package}: not among what debootstrap downloaded; Debian {versions.debian_suite()} has another "
                f"Python: set VERSION in tools/python.py to it (log: {log})"
            )
        subprocess.run(["dpkg-deb", "-x", str(found[-1]), str(work)], check=True)
    store.remove_tree(target)
