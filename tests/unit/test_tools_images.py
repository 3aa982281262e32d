"""Container images: packed reproducibly, layers shared, links of the machine image resolved inside it."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from bootstrap.images import PYTHON
from tools import images, paths, python, seed, store, versions
from tools.images import Image, Layer


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "program"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o700)
    return file


def test_a_layer_has_parents_modes_and_links_and_no_trace_of_its_maker(tmp_path: Path, program: Path) -> None:
    layer = Layer({"usr/local/bin/x": program}, {"bin/y": "../usr/local/bin/x"}, folders=("tmp",))
    images.pack(layer, tmp_path / "layer.tar")
    with tarfile.open(tmp_path / "layer.tar") as tar:
        entries = {info.name: info for info in tar}
    assert list(entries) == ["bin", "tmp", "usr", "usr/local", "usr/local/bin", "usr/local/bin/x", "bin/y"]
    assert entries["usr/local/bin/x"].mode == 0o755
    assert entries["tmp"].mode == 0o1777
    assert entries["bin/y"].linkname == "../usr/local/bin/x"
    assert {(info.uid, info.gid, info.mtime, info.uname) for info in entries.values()} == {(0, 0, 0, "")}


def test_the_same_layer_has_the_same_digest(tmp_path: Path, program: Path) -> None:
    first = images.pack(Layer({"x": program}), tmp_path / "1")
    program.touch()
    assert images.pack(Layer({"x": program}), tmp_path / "2") == first
    program.write_text("other")
    assert images.pack(Layer({"x": program}), tmp_path / "3") != first


def test_an_archive_names_every_image_and_holds_a_shared_layer_once(tmp_path: Path, program: Path) -> None:
    shared = Layer(folders=("tmp",))
    catalogue = [
        Image("registry.example/a:1", [shared, Layer({"a": program})], entrypoint=["/a"]),
        Image("registry.example/b:1", [shared], command=["sh"], user="65535"),
    ]
    images.write_archive(tmp_path / "images.tar", catalogue)
    with tarfile.open(tmp_path / "images.tar") as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("manifest.json") or pytest.fail("no manifest"))
        config = json.load(tar.extractfile(manifest[1]["Config"]) or pytest.fail("no config"))
    assert [entry["RepoTags"] for entry in manifest] == [["registry.example/a:1"], ["registry.example/b:1"]]
    assert manifest[0]["Layers"][0] == manifest[1]["Layers"][0]
    assert len(names) == len(set(names))
    assert config["config"]["Cmd"] == ["sh"]
    assert config["config"]["User"] == "65535"
    assert "Entrypoint" not in config["config"]


def test_an_absolute_link_of_the_machine_image_stays_inside_it(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/real.so.1").write_text("")
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "usr/lib/absolute.so").symlink_to("/usr/lib/real.so.1")
    (tmp_path / "usr/lib/upward.so").symlink_to("../lib/real.so.1")
    real = tmp_path / "usr/lib/real.so.1"
    assert images.inside(tmp_path, "/lib/absolute.so") == real
    assert images.inside(tmp_path, "/lib/upward.so") == real


def test_a_cloned_seed_shares_files_but_not_databases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILSPAN_HOME", str(tmp_path))
    origin = paths.seed_store() / "1"
    for name in (*seed._DATABASES, "io.containerd.content.v1.content/blobs/sha256/abc"):
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text(name)
    store.set_current(origin)
    seed.clone_seed(tmp_path / "machine")
    shared = {
        str(file.relative_to(origin)): file.stat().st_ino
        == (tmp_path / "machine" / file.relative_to(origin)).stat().st_ino
        for file in origin.rglob("*")
        if file.is_file()
    }
    assert shared == {
        **dict.fromkeys(seed._DATABASES, False),
        "io.containerd.content.v1.content/blobs/sha256/abc": True,
    }


def test_the_labs_python_has_the_name_and_the_version_of_the_public_image() -> None:
    assert f"docker.io/library/python:{python.VERSION}-slim-{versions.debian_suite()}" == PYTHON


def test_libraries_are_found_in_the_machine_image_and_a_program_without_a_loader_is_refused(
    program: Path,
) -> None:
    with pytest.raises(paths.ToolchainError, match="names no loader"):
        images._libraries(Path("/"), [program])
    found = images._libraries(Path("/"), [Path("/bin/sh").resolve()])
    assert any("/ld-linux" in path for path in found)
    assert any("/libc.so" in path for path in found)
