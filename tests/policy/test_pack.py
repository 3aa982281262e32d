"""The pack as a whole: rules are enforced and explain themselves, types are those of the SDKs."""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from pulumi_policy import EnforcementLevel, Policy

from policy.rules import RULES
from policy.rules.known import READ

PACK = Path(__file__).resolve().parents[2] / "policy"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_mandatory_and_explains_itself(rule: Policy) -> None:
    assert rule.enforcement_level is EnforcementLevel.MANDATORY
    assert re.fullmatch(r"[a-z0-9-]+", rule.name)
    assert rule.description.endswith(".")
    assert rule.severity is not None
    assert rule.remediation_steps
    assert rule.url
    assert rule.url.startswith("https://")


def test_rule_names_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_the_pack_enforces_every_rule() -> None:
    """The pack cannot be imported, it would serve; so its calls are read."""
    calls = [
        node for node in ast.walk(ast.parse((PACK / "__main__.py").read_text())) if isinstance(node, ast.Call)
    ]
    host, pack = sorted(calls, key=lambda call: call.lineno)
    assert ast.unparse(host) == "host.use()"
    assert {keyword.arg: ast.unparse(keyword.value) for keyword in pack.keywords}["policies"] == "RULES"


@pytest.mark.parametrize("token", sorted(READ))
def test_a_cloud_resource_type_and_its_inputs_are_those_of_the_sdk(token: str) -> None:
    """Read, not imported: importing the SDK of a cloud takes seconds."""
    provider, path, _ = token.split(":")
    module, name = path.split("/")
    spec = find_spec(f"pulumi_{provider}")
    assert spec is not None
    assert spec.submodule_search_locations
    file = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() + ".py"
    folder = Path(spec.submodule_search_locations[0])
    source = ((folder if module == "index" else folder / module) / file).read_text()
    assert f"'{token}'" in source
    (args,) = re.findall(rf"class {token.rsplit(':')[-1]}Args:\n(.*?)\n@pulumi.input_type", source, re.DOTALL)
    spelled = re.findall(r'@pulumi.getter(?:\(name="(\w+)"\))?\n    def (\w+)\(self\)', args)
    assert set(READ[token]) <= {wire or python for wire, python in spelled}
