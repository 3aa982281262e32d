"""The repository as a reader finds it: what documents and CI name exists, and what exists is named."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.schema import StackConfig
from lab.cli import app as lab_app
from network.plan import plan_network
from tests.stacks import HOST_KEY, ROOT, STACK_FILES, put, stack_data
from tools.__main__ import app as tools_app

README = (ROOT / "README.md").read_text()
ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))
CLOUDS = sorted((ROOT / "docs" / "clouds").glob("*.md"))
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *CLOUDS, *ADRS)
CI = (ROOT / ".ci" / "run", *sorted((ROOT / ".github" / "workflows").glob("*.yml")))
# Steps of other targets, not verbs of their own.
INTERNAL = {"setup", "setup-dev"}
MAKE = re.compile(r"(?:`|^\s*(?:- run: )?)make ([a-z][a-z-]*)", re.MULTILINE)
MODULE = re.compile(r"python -m (lab|tools) ([a-z][a-z-]*)")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")
FENCED_YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROOM = re.compile(r"^\| `([a-z]+)/`", re.MULTILINE)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def make_targets() -> set[str]:
    lines = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {target for line in lines for target in line.split()}


def verbs(app: Any) -> set[str]:
    named = (command.name or command.callback.__name__ for command in app.registered_commands)
    return {name.replace("_", "-") for name in named}


def repository_files() -> list[Path]:
    """Every text file of the checkout, without what tools leave beside it."""
    found = []
    for folder, below, names in os.walk(ROOT):
        below[:] = [
            name
            for name in below
            if name in (".ci", ".github") or (name[0] != "." and name not in ("__pycache__", "build"))
        ]
        found += [Path(folder, name) for name in names if name != "uv.lock"]
    return found


def readme_regions() -> list[dict[str, Any]]:
    return [region for block in FENCED_YAML.findall(README) for region in yaml.safe_load(block)]


def test_the_readme_names_every_make_target() -> None:
    assert make_targets() - INTERNAL <= set(MAKE.findall(README))


@pytest.mark.parametrize("path", [*DOCUMENTS, *CI], ids=relative)
def test_every_named_command_exists(path: Path) -> None:
    text = path.read_text()
    assert set(MAKE.findall(text)) <= make_targets()
    known = {"lab": verbs(lab_app), "tools": verbs(tools_app)}
    assert [verb for module, verb in MODULE.findall(text) if verb not in known[module]] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_every_link_leads_somewhere(path: Path) -> None:
    assert [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()] == []


def test_the_table_of_rooms_is_complete() -> None:
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] not in "._"}
    # A folder that only tools filled (a stale cache, say) is no room.
    rooms = {name for name in rooms if any(file.is_relative_to(ROOT / name) for file in repository_files())}
    assert set(ROOM.findall(README)) == rooms


def test_every_example_is_a_stack_file_that_the_tests_load_and_plan() -> None:
    written = [*(ROOT / "examples").rglob("*.yaml"), *(ROOT / "examples").rglob("*.yml")]
    assert set(written) <= set(STACK_FILES)


def test_the_region_that_the_readme_adds_is_that_of_the_example() -> None:
    assert readme_regions()[0] == stack_data(ROOT / "examples" / "Pulumi.three.yaml")["regions"][-1]


@pytest.mark.parametrize("region", readme_regions(), ids=lambda region: str(region["name"]))
def test_a_region_from_the_readme_joins_the_dev_stack(region: dict[str, Any]) -> None:
    for machine in region["machines"]:
        if "host_key" in machine:
            machine["host_key"] = HOST_KEY
    config = StackConfig.model_validate(put(stack_data(), "regions.2", region))
    assert plan_network(config).regions[2].name == region["name"]


@pytest.mark.parametrize("path", ADRS, ids=relative)
def test_a_decision_is_short_and_has_every_part(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 30
    assert lines[0].startswith(f"# {int(path.name[:4])}. ")
    assert re.fullmatch(r"Status: \w+\. Date: \d{4}-\d\d-\d\d\.", lines[2])
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## Context", "## Decision", "## Consequences"]


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:4]) for path in ADRS] == list(range(1, len(ADRS) + 1))


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    machine = re.compile(r"(?<![\w./-])/(?:work|farm|Users|home)/\w")
    found = [
        f"{relative(path)}: {match[0]}"
        for path in repository_files()
        for match in machine.finditer(path.read_text(errors="replace"))
    ]
    assert found == []


def test_ci_runs_the_whole_test_target_last() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "make test"


@pytest.mark.parametrize("path", [path for path in CI if path.suffix == ".yml"], ids=relative)
def test_a_workflow_runs_make_targets_and_pinned_actions_only(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            action, command = step.get("uses", ""), step.get("run", "")
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) or re.match(r"make [a-z-]+", command)


@pytest.mark.parametrize("path", [path for path in CI if path.suffix == ".yml"], ids=relative)
def test_no_workflow_runs_a_forks_code_with_rights(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert "pull_request_target" not in workflow[True]  # YAML 1.1 reads `on` as true
    for job in workflow["jobs"].values():
        rights = job["permissions"]
        runs_code = any("run" in step for step in job["steps"])
        # A token that may write is in no job that runs the pull request's code; OIDC only for our own branches.
        assert not (runs_code and set(rights.values()) - {"read"} and set(rights) != {"contents", "id-token"})
        if "id-token" in rights:
            assert "head.repo.full_name == github.repository" in job["if"]


@pytest.mark.parametrize("path", [path for path in CI if path.suffix == ".yml"], ids=relative)
def test_no_workflow_puts_a_value_of_others_into_a_command(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    scripts = [step.get("run", "") + str((step.get("with") or {}).get("script", "")) for step in steps]
    assert [script for script in scripts if "${{" in script] == []
