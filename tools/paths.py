"""Where everything lives that is not in the checkout: the only module that computes these paths."""

from __future__ import annotations

import os
from pathlib import Path


class ToolchainError(RuntimeError):
    """Something of the toolchain is missing or broken; the message says which command makes it."""


def repo_root() -> Path:
    return Path(__file__).resolve().parent.parent


def home() -> Path:
    """The folder of this product, outside every checkout so that checkouts share what was built."""
    set_by_user = os.environ.get("TAILSPAN_HOME")
    return Path(set_by_user).expanduser().resolve() if set_by_user else Path.home() / ".cache" / "tailspan"


def bin_dir() -> Path:
    """One directory of links to every program that was built: what goes on PATH."""
    return home() / "bin"


def tools_dir() -> Path:
    return home() / "tools"


def logs_dir() -> Path:
    return home() / "logs"


def lab_dir() -> Path:
    return home() / "lab"


def pulumi_home() -> Path:
    return home() / "pulumi"


def rootfs_store() -> Path:
    return home() / "rootfs"


def images_store() -> Path:
    return home() / "images"


def seed_store() -> Path:
    return home() / "seed"


def machine_rootfs() -> Path:
    """The root file system every lab machine starts from (read-only for its users)."""
    return _current(rootfs_store(), "machine root file system")


def images_archive() -> Path:
    """The docker-archive with every container image of the lab."""
    return _current(images_store(), "container image archive")


def containerd_seed() -> Path:
    """An idle containerd root with every image imported; copy it with tools.seed.clone_seed."""
    return _current(seed_store(), "containerd seed")


def _current(store: Path, what: str) -> Path:
    current = store / "current"
    if not current.exists():
        raise ToolchainError(f"{what}: {current} does not exist. Run `python -m tools lab` first.")
    return current.resolve()
