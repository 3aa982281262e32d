"""`python -m tools engine|lab|lint|agent|where|clean|docs`: the toolchain made or found, and documents written."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from bootstrap.agent import zipapp
from tools import build, images, paths, python, rootfs, seed, store, system, versions
from tools.progress import Progress

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The pinned toolchain, built once per version."
)


@app.command()
def engine() -> None:
    """The Pulumi engine: enough for previews and policy checks."""
    build.ensure("engine")


@app.command()
def lab() -> None:
    """Everything the lab needs: programs, machine image, container images."""
    system.ensure()
    with Progress() as progress, ThreadPoolExecutor(max_workers=1) as background:
        # Debian comes over the network while Go uses the processors.
        debian = background.submit(_debian, progress)
        build.ensure("lab", progress)
        debian.result()
        programs = built_programs()
        with progress.task("machine image"):
            root = rootfs.ensure(programs["kubelet"].parent)
        with progress.task("container images"):
            archive = images.ensure(programs, root, python.ensure())
        with progress.task("containerd seed"):
            seed.ensure(archive, root)
        progress.line(f"the lab's toolchain is ready in {paths.home()}")


def _debian(progress: Progress) -> None:
    if rootfs.base_dir().exists():
        return
    with progress.task("Debian root file system", "about 2 min"):
        rootfs.base()


def built_programs() -> dict[str, Path]:
    """Where each program of the lab really lies: its folder's name identifies what it was made from."""
    tools = [versions.tool(name) for name in build.SCOPES["lab"]]
    return {name: build.tool_dir(tool) / name for tool in tools for name in tool.programs}


@app.command()
def lint() -> None:
    """Judge the workflows with the pinned actionlint, built first if it is not there."""
    build.ensure("lint")
    # No shellcheck or pyflakes: whether they are installed must not decide what passes.
    command = [str(paths.bin_dir() / "actionlint"), "-shellcheck=", "-pyflakes="]
    sys.exit(subprocess.run(command, cwd=paths.repo_root(), check=False).returncode)


@app.command()
def docs() -> None:
    """Write the documents that come from the code."""
    # The models are loaded for this verb only.
    from tools.documents import write_all

    for name in write_all() or ["nothing to do"]:
        print(name)


@app.command()
def agent() -> None:
    """The route agent as one file, build/agent.pyz: what machines run."""
    program = zipapp()
    target = Path("build/agent.pyz")
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(program)
    print(f"{target} {len(program)} bytes, sha256 {hashlib.sha256(program).hexdigest()}")


@app.command()
def where() -> None:
    """Print the places of everything that is kept outside the checkout."""
    parts = {"machine image": paths.machine_rootfs, "container images": paths.images_archive}
    parts["containerd seed"] = paths.containerd_seed
    print(f"{'home':18}{paths.home()}\n{'programs':18}{paths.bin_dir()}\n{'logs':18}{paths.logs_dir()}")
    for name, find in parts.items():
        try:
            print(f"{name:18}{find()}")
        except paths.ToolchainError:
            print(f"{name:18}not made yet (python -m tools lab)")


@app.command()
def clean(
    everything: Annotated[
        bool, typer.Option("--all", help="Remove the whole home, caches and built programs too.")
    ] = False,
) -> None:
    """Remove builds of outdated versions, or everything with --all."""
    if paths.lab_dir().exists() and any(paths.lab_dir().iterdir()):
        raise paths.ToolchainError("the lab is still up: run `make down` first")
    if everything:
        store.remove_tree(paths.home())
        return
    for folder in build.remove_outdated():
        print(f"removed {folder}")
    debian = rootfs.base_dir()
    interpreter = python.folder()
    kept_folders = {debian, debian.parent, interpreter, interpreter.parent}
    for kept in (
        paths.rootfs_store(),
        debian.parent,
        interpreter.parent,
        paths.images_store(),
        paths.seed_store(),
    ):
        current = kept / "current"
        for folder in set(kept.glob("*")) - {current, current.resolve(), *kept_folders}:
            store.remove_tree(folder)
            print(f"removed {folder}")


def _terminated(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as an exception, so that half-made folders and child processes are cleaned up


def main() -> None:
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit("interrupted; the next run goes on where this one stopped")
    except paths.ToolchainError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
