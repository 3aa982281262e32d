"""`tailscale.Acl` and `getAcl`: the tailnet's policy file."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from lab.plugins.base import Call, CheckFailed, PluginError, Properties, Resource
from lab.plugins.rehearsal import REHEARSED_POLICY
from lab.plugins.schema import Record
from lab.plugins.tailscale.api import ApiError, request
from lab.plugins.values import Unknown

POLICY_ID = "acl"
# What headscale enforces without a policy, written down: it does not take an empty one.
DEFAULT_POLICY = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
# Comments, with strings matched first so that "https://x" stays whole; then commas before a closing bracket.
HUJSON_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
HUJSON_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(\s*[}\]])', re.DOTALL)


class Acl(Resource):
    schema = Record({"acl!": "string", "overwriteExistingContent": "boolean", "resetAclOnDestroy": "boolean"})

    def check(self, call: Call, inputs: Properties, old: Properties) -> Properties:
        if not isinstance(inputs["acl"], Unknown):
            try:
                parse(inputs["acl"])
            except ValueError as problem:
                raise CheckFailed("acl", f"is neither JSON nor HuJSON: {problem}") from None
        return inputs

    def replaces(self, changed: set[str], old: Properties, new: Properties) -> set[str]:
        return set()

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        existing = _existing(call)
        foreign = not _is_default(existing) and not same(existing, inputs["acl"])
        if foreign and not inputs.get("overwriteExistingContent"):
            raise PluginError(
                f"the tailnet has a policy that this stack did not write. Import it first "
                f"(pulumi import tailscale:index/acl:Acl {call.name} {POLICY_ID}), or set "
                f"overwriteExistingContent=True if it may be lost. Its content: {_summary(existing)}"
            )
        return POLICY_ID, self.update(call, POLICY_ID, inputs, {})

    def rehearse(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        return POLICY_ID, inputs

    def update(self, call: Call, resource_id: str, inputs: Properties, old_outputs: Properties) -> Properties:
        request(call, "PUT", "policy", {"policy": inputs["acl"]})
        return inputs

    def read(
        self, call: Call, resource_id: str, inputs: Properties, outputs: Properties
    ) -> tuple[Properties, Properties]:
        existing = _existing(call)
        # Another spelling of the same policy is no drift.
        acl = inputs["acl"] if inputs.get("acl") and same(existing, inputs["acl"]) else existing
        return {**inputs, "acl": acl}, {**outputs, "acl": acl}

    def delete(self, call: Call, resource_id: str, inputs: Properties, outputs: Properties) -> None:
        if inputs.get("resetAclOnDestroy"):
            request(call, "PUT", "policy", {"policy": DEFAULT_POLICY})


def get_acl(call: Call, args: Properties) -> Properties:
    """
    Empty texts in an offline preview: there is no tailnet to ask (a real policy file is never empty). A rehearsal reads
    the file that its launcher wrote: a policy with which the stack could have come up.
    """
    if call.rehearsal:
        text = Path(os.environ[REHEARSED_POLICY]).read_text()
        return {"id": POLICY_ID, "hujson": text, "json": text}
    if call.offline:
        return {"id": POLICY_ID, "hujson": "", "json": ""}
    existing = _existing(call)
    return {
        "id": POLICY_ID,
        "hujson": existing,
        "json": json.dumps(parse(existing)) if existing.strip() else "{}",
    }


def _existing(call: Call) -> str:
    try:
        return str(request(call, "GET", "policy").get("policy") or "")
    except ApiError as problem:
        # headscale answers a question for a policy that was never set with an error instead of an empty one.
        if "policy not found" in str(problem):
            return ""
        raise


def _is_default(policy: str) -> bool:
    return not policy.strip() or same(policy, DEFAULT_POLICY) or same(policy, "{}")


def same(one: str, other: str) -> bool:
    try:
        return bool(parse(one) == parse(other))
    except ValueError:
        return one == other


def parse(text: str) -> Any:
    without_comments = HUJSON_COMMENT.sub(lambda match: match.group(1) or "", text)
    return json.loads(HUJSON_COMMA.sub(lambda match: match.group(1) or match.group(2), without_comments))


def _summary(policy: str) -> str:
    flat = " ".join(policy.split())
    return flat if len(flat) <= 200 else f"{flat[:200]} ..."
