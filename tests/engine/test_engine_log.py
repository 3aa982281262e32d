"""Messages of a plugin carry no secret that it was given, and stay readable."""

from __future__ import annotations

import pytest

from lab.plugins.engine_log import EngineLog

KEY = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSURCVENDQWUyZ0F3SUJBZ0lJ"
SCRIPT = (
    f"apiVersion: v1\nserver: https://198.51.100.10:6443\ndata: '{KEY}'\nhskey-auth-abc\nkubectl get nodes"
)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("token is a-token-alone!", "token is [secret]!"),
        (f"cannot parse {KEY}", "cannot parse [secret]"),
        ("refused hskey-auth-abc", "refused [secret]"),
        ("no answer from https://198.51.100.10:6443", "no answer from https://198.51.100.10:6443"),
        ("apiVersion: v1", "apiVersion: v1"),
        ("it is true", "it is true"),
    ],
)
def test_only_what_is_secret_is_taken_out(message: str, shown: str) -> None:
    log = EngineLog()
    log.hide(["a-token-alone", SCRIPT, "true"])
    assert log.clean(message) == shown
