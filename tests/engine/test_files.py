"""The launcher's copy of a stack's files, and how a change reads."""

from __future__ import annotations

import stat
from types import SimpleNamespace

import pytest
import yaml

from lab.engine_diff import change_lines
from lab.engine_files import API_KEY, EngineError, Files
from report.values import HIDDEN, SIGNATURE, text_change, value_at
from tests.engine.bench import Bench


def write_stack(files: Files, text: str) -> None:
    (files.source / "Pulumi.dev.yaml").write_text(text)


def copied(files: Files) -> dict[str, object]:
    return dict(yaml.safe_load(files.stack_file.read_text()))


def test_the_copy_keeps_its_salt_and_secret_and_follows_the_checkout(bench: Bench) -> None:
    files = bench.files
    files.prepare()
    ours = {"encryptionsalt": "v1:ours", "config": {API_KEY: {"secure": "v1:ours"}}}
    files.stack_file.write_text(yaml.safe_dump(ours))
    write_stack(
        files, "encryptionsalt: v1:theirs\nconfig:\n  bench:size: large\n  bench:key: {secure: v1:theirs}\n"
    )
    files.prepare()
    assert copied(files) == {
        "encryptionsalt": "v1:ours",
        "config": {"bench:size": "large", API_KEY: {"secure": "v1:ours"}, "bench:key": {"secure": "v1:ours"}},
    }


def test_the_passphrase_is_nobody_elses_and_stays(bench: Bench) -> None:
    bench.files.prepare()
    first = bench.files.passphrase.read_text()
    bench.files.prepare()
    assert bench.files.passphrase.read_text() == first
    assert stat.S_IMODE(bench.files.passphrase.stat().st_mode) == 0o600
    assert stat.S_IMODE(bench.files.root.stat().st_mode) == 0o700


def test_a_stack_that_does_not_exist_names_those_that_do(bench: Bench) -> None:
    missing = Files("prod", bench.files.root, bench.files.source)
    with pytest.raises(EngineError, match=r"stack prod: there is no Pulumi\.prod\.yaml \(there are: dev\)"):
        missing.prepare()


def test_a_stack_file_that_is_no_yaml_is_named(bench: Bench) -> None:
    write_stack(bench.files, "config: [")
    with pytest.raises(EngineError, match=r"Pulumi\.dev\.yaml: not valid YAML"):
        bench.files.prepare()


def test_a_path_finds_its_value() -> None:
    root = {"a": [{"x.y/z": 1}], "s": {SIGNATURE: "secret"}}
    assert value_at(root, 'a[0]["x.y/z"]') == 1
    assert value_at(root, "a[7].b") is None
    assert value_at(root, "s.inside") == HIDDEN


def test_of_long_texts_only_the_difference_is_shown() -> None:
    before, after = text_change("x" * 500 + "old" + "y" * 500, "x" * 500 + "new" + "y" * 500)
    assert "old" in before
    assert "new" in after
    assert len(before) < 120


def test_a_replacement_says_which_property_causes_it() -> None:
    inputs = SimpleNamespace(inputs={"zone": "a"}), SimpleNamespace(inputs={"zone": "b"})
    diff = {"zone": SimpleNamespace(diff_kind="update-replace")}
    metadata = SimpleNamespace(op="replace", detailed_diff=diff, old=inputs[0], new=inputs[1])
    (line,) = change_lines(metadata)
    assert '"a"' in line
    assert line.endswith("[magenta](replaces)[/]")
