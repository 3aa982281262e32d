"""Documents from the code are up to date, and the schema for editors agrees with the models."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

from config.docs import stack_file_schema
from network.prefixes import longest_node_block, longest_pod_block, probe_room
from tests.stacks import ROOT, STACK_FILES, put, stack_data
from tests.unit.stack_strategies import sound_stacks
from tools import documents

SCHEMA = stack_file_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
BASES = sorted((ROOT / "tests" / "corpus" / "bases").glob("*.yaml"))


def complaints(data: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(data)]


def file(stack: Any) -> dict[str, Any]:
    return {"config": {"tailspan:stack": stack}}


def test_every_document_says_what_the_code_says_now() -> None:
    assert documents.behind() == [], "run `make docs`"


def test_the_page_names_the_sizes_that_the_plan_wants() -> None:
    page = " ".join((ROOT / "docs" / "configuration.md").read_text().split())
    nodes, pods = (
        ", ".join(f"/{longest(gateways)}" for gateways in (2, 3, 4))
        for longest in (longest_node_block, longest_pod_block)
    )
    assert f"with 2, 3 or 4 gateways `node_cidr` is a {nodes} or larger, and `pod_cidr` a {pods}." in page
    assert f"those of four gateways fit into a /{probe_room(4)} and not into a /{probe_room(4) + 1}" in page


def test_a_document_that_differs_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    monkeypatch.setattr(documents, "DOCUMENTS", {"page.md": lambda: "new\n", "same.md": lambda: "same\n"})
    (tmp_path / "same.md").write_text("same\n")
    assert documents.write_all() == ["page.md"]
    assert ((tmp_path / "page.md").read_text(), documents.behind()) == ("new\n", [])


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_every_shipped_stack_file_is_valid_for_editors_and_names_the_schema(path: Path) -> None:
    text = path.read_text()
    assert complaints(yaml.safe_load(text)) == []
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.split("=", 1)[1]).resolve() == ROOT / "docs" / "tailspan.schema.json"


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.name)
def test_a_stack_of_the_corpus_is_valid_for_editors(path: Path) -> None:
    assert complaints(file(yaml.safe_load(path.read_text()))) == []


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=sound_stacks())
def test_what_the_models_take_the_schema_takes(data: dict[str, Any]) -> None:
    # Through YAML, as an editor sees it.
    assert complaints(yaml.safe_load(yaml.safe_dump(file(data)))) == []


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("kubernetes.verion", "1.33.1", "'verion' was unexpected"),
        ("regions.1.node_cdr", "10.1.0.0/24", "is not valid under any of the given schemas"),
        ("regions.1.pod_cidr", ..., "is not valid under any of the given schemas"),
        ("tailnet.mtu", 500, "is not valid under any of the given schemas"),
        ("access.api", "open", "'open' is not one of"),
        ("kubernetes.version", "v1.33.1", "'v1.33.1' does not match"),
        ("kubernetes.service_cidr", "10.96.0.0", "'10.96.0.0' does not match"),
        ("kubernetes.unreachable_toleration", "1 hour", "is not valid under any of the given schemas"),
        ("regions", ..., "'regions' is a required property"),
    ],
)
def test_an_editor_marks_a_mistake(path: str, value: Any, complaint: str) -> None:
    assert any(complaint in line for line in complaints(file(put(stack_data(), path, value))))


def test_an_editor_marks_a_misspelt_key_beside_the_stack_and_leaves_other_packages_alone() -> None:
    data = file(stack_data())
    data["config"] |= {"gcp:project": "acme", "tailspan:tailnetApiKey": {"secure": "v1:abc"}}
    assert complaints(data) == []
    misspelt = copy.deepcopy(data)
    misspelt["config"]["tailspan:tailnetAPIKey"] = {"secure": "v1:abc"}
    assert complaints(misspelt)
    assert complaints(data | {"config": data["config"] | {"tailspan:tailnetApiKey": "plain text"}})


def test_every_key_says_what_it_means() -> None:
    fields = {
        f"{name}.{key}": field
        for name, model in SCHEMA["$defs"].items()
        for key, field in model["properties"].items()
    }
    assert {key for key, field in fields.items() if not field.get("description")} == set()
    # A kind is its own example, and so are the parts of the whole.
    silent = {key for key, field in fields.items() if "examples" not in field and not key.endswith(".kind")}
    assert silent == {
        f"StackConfig.{key}" for key in ("kubernetes", "access", "images", "tailnet", "regions")
    }
