"""
Which machines are gateways, whoever made them: those whose name, tags or labels say subnet router or Tailscale gateway,
those whose start-up script advertises routes to a tailnet, and, in a stack that has anything to do with Tailscale,
those that are called a gateway. A machine that merely forwards is none: it may be a NAT or a firewall.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence

from pulumi_policy import PolicyResource

from .inputs import known, leaves, texts
from .known import AWS_INSTANCE, GCP_INSTANCE, LAB_MACHINE

_ROUTER = re.compile(
    r"subnet[-_ ]?router|tailscale[-_ ](?:gateway|router)|tailspan[-_ ](?:\w+[-_ ])*gateway", re.I
)
_GATEWAY = re.compile(r"(?<![a-z])gateways?(?![a-z])", re.I)
# Gateways of other trades.
_OTHER = re.compile(
    r"(?:api|app|egress|http|ingress|internet|local|model|nat|payment|service|transit|vpn|web)[-_ ]gateway"
    r"|gateway[-_ ]api",
    re.I,
)
_ADVERTISES = re.compile(r"--advertise-routes|\bTS_ROUTES\b")


def says_gateway(words: Sequence[str], *, tailscale: bool) -> bool:
    """Whether names or tags are those of a tailnet's gateway; `tailscale`: of a stack that uses it."""
    text = " ".join(words)
    return bool(_ROUTER.search(text)) or (
        tailscale and bool(_GATEWAY.search(text)) and not _OTHER.search(text)
    )


def uses_tailscale(resources: Sequence[PolicyResource]) -> bool:
    return any(
        resource.resource_type.startswith(("tailspan:", "tailscale:")) or advertises(resource)
        for resource in resources
    )


def advertises(resource: PolicyResource) -> bool:
    """Whether a machine's start-up script makes it a subnet router."""
    return any(_ADVERTISES.search(script) for script in _scripts(resource))


def _scripts(resource: PolicyResource) -> Iterator[str]:
    props = resource.props
    keys: tuple[str, ...]
    if resource.resource_type == GCP_INSTANCE:
        keys = ("metadataStartupScript", "metadata")
    elif resource.resource_type == AWS_INSTANCE:
        keys = ("userData",)
        yield _decoded(str(known(props, "userDataBase64") or ""))
    else:
        return
    for key in keys:
        yield from (text for text in leaves(known(props, key)) if isinstance(text, str))


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""


def gateways(resources: Sequence[PolicyResource]) -> list[PolicyResource]:
    """The stack's gateway machines."""
    tailscale = uses_tailscale(resources)
    return [
        resource
        for resource in resources
        if resource.resource_type in _WORDS
        and (
            says_gateway(_WORDS[resource.resource_type](resource), tailscale=tailscale)
            or advertises(resource)
        )
    ]


def words_of(resource: PolicyResource) -> list[str]:
    """What a resource is called, its tags and its labels; an unknown one says nothing."""
    named = [resource.name, str(known(resource.props, "name") or "")]
    for key in ("tags", "labels"):
        value = known(resource.props, key)
        named += [str(leaf) for leaf in leaves(value)]
        named += [str(label) for label in value] if hasattr(value, "keys") else []
    return named


def _lab_words(resource: PolicyResource) -> list[str]:
    return ["subnet-router"] if known(resource.props, "role") == "gateway" else []


_WORDS = {GCP_INSTANCE: words_of, AWS_INSTANCE: words_of, LAB_MACHINE: _lab_words}


def gcp_tags(resource: PolicyResource) -> list[str]:
    """The network tags of a GCP machine; raises for unknown ones."""
    return texts(resource.props, "tags")
