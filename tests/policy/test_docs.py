"""docs/policies.md says what the rules say."""

from __future__ import annotations

from policy.docs import PAGE, page
from policy.rules import RULES


def test_the_page_is_the_rules() -> None:
    assert PAGE.read_text() == page(), "run make docs"


def test_the_page_has_every_rule_with_its_source_remedy_and_settings() -> None:
    text = page()
    for rule in RULES:
        assert f"### {rule.name}\n" in text
        assert f"<{rule.url}>" in text
        assert str(rule.remediation_steps) in text
        for setting in rule.config_schema.properties if rule.config_schema else ():
            assert f"Setting `{setting}`" in text
