"""The tailnet's policy file and keys against headscale's API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.plugins import tailscale as plugin
from lab.plugins.base import PluginError
from lab.plugins.tailscale import api
from lab.plugins.tailscale.acl import Acl, get_acl, parse, same
from lab.plugins.tailscale.tailnet_key import TailnetKey
from lab.plugins.values import Secret, decode
from tests.engine.bench import Plugin, call, urn
from tests.engine.fake_http import FakeServer, fake_server

OURS = '{"tagOwners": {"tag:a": []}}'
THEIRS = '{"tagOwners": {"tag:theirs": []}}'


@pytest.fixture
def state() -> dict[str, Any]:
    return {"policy": None, "keys": []}


@pytest.fixture
def headscale(state: dict[str, Any]) -> Iterator[FakeServer]:
    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/api/v1/policy":
            if method == "PUT":
                state["policy"] = body["policy"]
            if state["policy"] is None:
                return 500, {"message": "loading ACL from database: acl policy not found"}
            return 200, {"policy": state["policy"]}
        if path == "/api/v1/preauthkey/expire":
            key = next(key for key in state["keys"] if key["id"] == body["id"])
            key["expiration"] = "2020-01-01T00:00:00.123456789Z"
            return 200, {}
        if method == "POST":
            key = {"id": str(len(state["keys"]) + 1), "key": "hskey-auth-secret", "used": False, **body}
            state["keys"].append(key)
            return 200, {"preAuthKey": key}
        return 200, {"preAuthKeys": state["keys"]}

    with fake_server(answer) as server:
        yield server


def on(server: FakeServer) -> Any:
    return call(baseUrl=server.url, apiKey="an-api-key")


def test_a_policy_is_written_and_left_behind(headscale: FakeServer, state: dict[str, Any]) -> None:
    made, outputs = Acl().create(on(headscale), {"acl": OURS})
    Acl().delete(on(headscale), made, outputs, outputs)
    assert state["policy"] == OURS


def test_a_policy_is_reset_only_if_told(headscale: FakeServer, state: dict[str, Any]) -> None:
    inputs = {"acl": OURS, "resetAclOnDestroy": True}
    made, _ = Acl().create(on(headscale), inputs)
    Acl().delete(on(headscale), made, inputs, inputs)
    assert "accept" in state["policy"]


def test_somebody_elses_policy_is_not_overwritten(headscale: FakeServer, state: dict[str, Any]) -> None:
    state["policy"] = THEIRS
    with pytest.raises(
        PluginError,
        match=r"a policy that this stack did not write\. Import it first .*overwriteExistingContent",
    ):
        Acl().create(on(headscale), {"acl": OURS})
    assert state["policy"] == THEIRS
    Acl().create(on(headscale), {"acl": OURS, "overwriteExistingContent": True})
    assert state["policy"] == OURS


def test_writing_the_same_policy_again_is_no_conflict(headscale: FakeServer, state: dict[str, Any]) -> None:
    state["policy"] = '{"tagOwners":{"tag:a":[],},} // ours'
    Acl().create(on(headscale), {"acl": OURS})


def test_another_spelling_is_no_drift_and_another_policy_is(
    headscale: FakeServer, state: dict[str, Any]
) -> None:
    state["policy"] = OURS.replace(" ", "")
    assert Acl().read(on(headscale), "acl", {"acl": OURS}, {})[0]["acl"] == OURS
    state["policy"] = THEIRS
    assert Acl().read(on(headscale), "acl", {"acl": OURS}, {})[0]["acl"] == THEIRS


def test_the_policy_can_be_read(headscale: FakeServer, state: dict[str, Any]) -> None:
    assert get_acl(on(headscale), {})["json"] == "{}"
    state["policy"] = '{"tagOwners": {}, } // by hand'
    found = get_acl(on(headscale), {})
    assert (found["hujson"], json.loads(found["json"])) == (state["policy"], {"tagOwners": {}})


@pytest.mark.parametrize(
    "text", ['{"u": "https://x",}', '{"u": /* c */ "https://x"}', '{"u": "https://x"} // [,]']
)
def test_hujson_is_json_with_comments_and_commas(text: str) -> None:
    assert parse(text) == {"u": "https://x"}
    assert same(text, '{"u":"https://x"}')


def test_an_offline_preview_asks_nobody_for_the_policy() -> None:
    offline = Plugin(plugin.package, baseUrl="http://127.0.0.1:9", apiKey="k")
    offline.servicer.mode = "offline"
    answer = offline.Invoke(tok="tailscale:index/getAcl:getAcl", args={})
    assert decode(getattr(answer, "return"))["json"] == ""


def test_a_key_is_single_use_tagged_short_lived_and_secret(
    headscale: FakeServer, state: dict[str, Any]
) -> None:
    server = Plugin(plugin.package, baseUrl=headscale.url, apiKey="an-api-key")
    inputs = {"tags": ["tag:a"], "expiry": 3600}
    answer = server.Create(urn=urn("tailscale:index/tailnetKey:TailnetKey"), properties=inputs)
    outputs = decode(answer.properties)
    assert outputs["key"] == Secret("hskey-auth-secret")
    assert (state["keys"][0]["reusable"], state["keys"][0]["aclTags"]) == (False, ["tag:a"])


def test_a_used_key_stays_and_a_deleted_one_is_expired(headscale: FakeServer, state: dict[str, Any]) -> None:
    inputs = {"tags": ["tag:a"]}
    made, outputs = TailnetKey().create(on(headscale), inputs)
    state["keys"][0]["used"] = True
    found = TailnetKey().read(on(headscale), made, inputs, outputs)
    assert found is not None
    assert found[1]["invalid"] is True
    assert TailnetKey().read(on(headscale), made, {**inputs, "recreateIfInvalid": "always"}, outputs) is None
    state["keys"][0]["used"] = False
    TailnetKey().delete(on(headscale), made, inputs, outputs)
    assert state["keys"][0]["expiration"].startswith("2020")
    TailnetKey().delete(on(headscale), made, inputs, outputs)
    TailnetKey().delete(on(headscale), "99", inputs, outputs)


def test_headscales_own_words_reach_the_user() -> None:
    with (
        fake_server(lambda *_: (500, {"message": "setting policy: unknown tag tag:b"})) as server,
        pytest.raises(PluginError, match="control server: GET policy: setting policy: unknown tag tag:b"),
    ):
        Acl().create(on(server), {"acl": OURS})


def test_a_refused_api_key_is_said_and_not_shown() -> None:
    with (
        fake_server(lambda *_: (401, {"message": "Unauthorized"})) as server,
        pytest.raises(PluginError) as caught,
    ):
        get_acl(on(server), {})
    assert "the API key is not accepted: Unauthorized" in str(caught.value)
    assert "an-api-key" not in str(caught.value)


def test_an_unreachable_control_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "TRIES", 2)
    monkeypatch.setattr(api, "PAUSE_SECONDS", 0.01)
    with pytest.raises(
        PluginError, match=r"control server http://127.0.0.1:9: not reachable \(2 tries\): .*refused"
    ):
        get_acl(call(baseUrl="http://127.0.0.1:9", apiKey="k"), {})
