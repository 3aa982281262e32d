"""A tailnet's policy file for tests, as a resource."""

from __future__ import annotations

import json
from typing import Any

from pulumi_policy import PolicyProviderResource, PolicyResource

from policy.rules.policy_text import ACL
from tests.policy.judge import resource

POLICY: dict[str, Any] = {
    "tagOwners": {"tag:hub": [], "tag:gpu": []},
    "autoApprovers": {
        "routes": {
            "10.0.0.0/24": ["tag:hub"],
            "10.128.0.0/16": ["tag:hub"],
            "10.1.0.0/24": ["tag:gpu"],
            "10.129.0.0/16": ["tag:gpu"],
        }
    },
    "grants": [
        {"src": ["10.0.0.0/24", "10.128.0.0/16"], "dst": ["10.1.0.0/24", "10.129.0.0/16"], "ip": ["*"]},
        {"src": ["10.1.0.0/24", "10.129.0.0/16"], "dst": ["10.128.0.0/16"], "ip": ["*"]},
        {"src": ["10.1.0.0/24", "10.129.0.0/16"], "dst": ["10.0.0.0/24"], "ip": ["tcp:6443", "icmp:*"]},
    ],
}


def routes(**approvers: str) -> dict[str, Any]:
    """autoApprovers by a tag's name: `gpu="10.1.0.0/24 10.129.0.0/16"`."""
    found: dict[str, list[str]] = {}
    for tag, cidrs in approvers.items():
        for cidr in cidrs.split():
            found.setdefault(cidr, []).append(f"tag:{tag}")
    return {"autoApprovers": {"routes": found}}


def grants(*rows: tuple[str, str, str]) -> dict[str, Any]:
    """Grants by words: who, to whom, at what."""
    return {"grants": [{"src": s.split(), "dst": d.split(), "ip": i.split()} for s, d, i in rows]}


def policy_file(
    content: dict[str, Any] | str = POLICY, *, protect: bool = True, server: str | None = None, **inputs: Any
) -> PolicyResource:
    """The Acl resource, in Tailscale's own tailnet unless a `server` is given."""
    text = content if isinstance(content, str) else json.dumps(content)
    found = resource(ACL, "policy", {"acl": text} | inputs)
    found.opts.protect = protect
    found.provider = PolicyProviderResource(
        "pulumi:providers:tailscale", {"baseUrl": server} if server else {}, "urn:provider", "api"
    )
    return found
