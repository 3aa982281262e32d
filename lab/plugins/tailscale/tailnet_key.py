"""`tailscale.TailnetKey`: a key with which a machine joins the tailnet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from lab.plugins.base import Call, CheckFailed, PluginError, Properties, Resource
from lab.plugins.schema import Kind, ListOf, OneOf, Record
from lab.plugins.tailscale.api import request
from lab.plugins.values import Unknown

DEFAULT_EXPIRY_SECONDS = 90 * 24 * 3600
INPUTS: dict[str, Kind] = {
    "reusable": "boolean",
    "ephemeral": "boolean",
    "preauthorized": "boolean",
    "tags": ListOf("string"),
    "expiry": "integer",
    "description": "string",
    "recreateIfInvalid": OneOf(("always", "never")),
    "userId": "string",
}


class TailnetKey(Resource):
    schema = Record(INPUTS)
    # A key cannot be changed once it was made; only what we do with an invalid one can.
    replace_on = frozenset(set(INPUTS) - {"recreateIfInvalid"})
    computed = ("key", "createdAt", "expiresAt", "invalid", "userId")
    secret_outputs = frozenset({"key"})

    def check(self, call: Call, inputs: Properties, old: Properties) -> Properties:
        for index, tag in enumerate(inputs.get("tags") or []):
            if not isinstance(tag, Unknown) and not tag.startswith("tag:"):
                raise CheckFailed(f"tags[{index}]", f'got "{tag}", write "tag:{tag}"')
        if not inputs.get("tags"):
            raise CheckFailed(
                "tags", "headscale's keys without a user need at least one tag, for example tag:tailspan-hub"
            )
        return inputs

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        seconds = inputs.get("expiry") or DEFAULT_EXPIRY_SECONDS
        body: dict[str, Any] = {
            "reusable": bool(inputs.get("reusable")),
            "ephemeral": bool(inputs.get("ephemeral")),
            "expiration": (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "aclTags": inputs["tags"],
        }
        made = request(call, "POST", "preauthkey", body).get("preAuthKey") or {}
        if not made.get("key"):
            raise PluginError("the control server answered without a key")
        outputs = {
            "key": made["key"],
            "createdAt": made.get("createdAt"),
            "expiresAt": made.get("expiration"),
        }
        return str(made["id"]), {**inputs, **outputs, "invalid": False, "userId": inputs.get("userId") or ""}

    def rehearse(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        made_up = {"key": "rehearsed-key", "createdAt": "", "expiresAt": "", "invalid": False, "userId": ""}
        return call.name, {**made_up, **inputs}

    def update(self, call: Call, resource_id: str, inputs: Properties, old_outputs: Properties) -> Properties:
        kept = {name: old_outputs.get(name) for name in self.computed}
        return {**inputs, **kept}

    def read(
        self, call: Call, resource_id: str, inputs: Properties, outputs: Properties
    ) -> tuple[Properties, Properties] | None:
        found = _find(call, resource_id)
        invalid = found is None or _is_over(found)
        # As the official plugin: a single-use key that was used has done its work and stays.
        recreate = inputs.get("recreateIfInvalid") or ("always" if inputs.get("reusable") else "never")
        if invalid and recreate == "always":
            return None
        return inputs, {**outputs, "invalid": invalid}

    def delete(self, call: Call, resource_id: str, inputs: Properties, outputs: Properties) -> None:
        found = _find(call, resource_id)
        if found is not None and not _is_over(found):
            request(call, "POST", "preauthkey/expire", {"id": resource_id})


def _find(call: Call, resource_id: str) -> dict[str, Any] | None:
    keys = request(call, "GET", "preauthkey").get("preAuthKeys") or []
    return next((key for key in keys if str(key.get("id")) == resource_id), None)


def _is_over(key: dict[str, Any]) -> bool:
    """Used up or expired."""
    if key.get("used") and not key.get("reusable"):
        return True
    text = str(key.get("expiration") or "")
    return bool(text) and datetime.fromisoformat(_microseconds(text)) <= datetime.now(UTC)


def _microseconds(text: str) -> str:
    """Go writes nanoseconds, which Python does not read."""
    head, _, fraction = text.removesuffix("Z").partition(".")
    return f"{head}.{fraction[:6].ljust(6, '0')}+00:00"
