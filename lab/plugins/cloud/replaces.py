"""
Which changes replace a resource. The SDKs say it in their documentation only ("Changing this forces a new resource to
be created"), and seldom. replaces.json adds what the Terraform providers that both plugins are built from mark as
ForceNew (hashicorp/terraform-provider-google at e03b762, hashicorp/terraform-provider-aws), for the types in use. Where
neither says so a preview shows an update, and the official plugin might replace.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from lab.plugins.base import Properties
from lab.plugins.cloud.schema import Fields
from lab.plugins.schema import Kind, ListOf, MapOf, Record

TABLE = Path(__file__).with_suffix(".json")
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
FORCES = re.compile(
    r"\b(?:forc|caus|trigger|requir)(?:es?|ing) (?:a |an |the )?"
    r"(?:new (?:resource|cluster|instance|interface|project|service account|subnet)|replacement|replace|"
    r"re-?creation|(?:\w+ ){1,3}(?:to )?(?:be )?re-?created?)\b",
    re.IGNORECASE,
)
# "Changing this does not force ...", "... unless allow_stopping_for_update is set": no plain statement.
HEDGED = re.compile(r"\b(?:not|never|unless|without|whether|(?:if|when) `)|n't\b", re.IGNORECASE)
SEGMENT = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)')


def replaced_by(token: str, schema: Record, path: str, new: Properties) -> bool:
    """Does a change of this path replace a resource of this type?"""
    package = token.split(":")[0]
    return any(
        _covers(entry, path, new) for one in (token, f"{package}:*") for entry in _table().get(one, ())
    ) or _documented(schema, path)


@cache
def _table() -> dict[str, list[str]]:
    return dict(json.loads(TABLE.read_text()))


def _covers(entry: str, path: str, new: Properties) -> bool:
    """
    `zone` and all inside of it; `networkInterfaces[]` for the number of items only, because their own fields may change
    in place; `userData?userDataReplaceOnChange` if that input is true.
    """
    entry, _, switch = entry.partition("?")
    plain = re.sub(r"\[\d+\]", "", path)
    whole = plain == entry.removesuffix("[]")
    inside = not entry.endswith("[]") and plain.startswith((f"{entry}.", f"{entry}["))
    return (whole or inside) and (not switch or bool(new.get(switch)))


def _documented(schema: Record, path: str) -> bool:
    kind: Kind | None = schema
    for _, _, name in SEGMENT.findall(path):
        if isinstance(kind, Record) and isinstance(kind.fields, Fields):
            found = kind.fields.properties.get(name)
            if found and forces_replacement(found.doc):
                return True
            kind = kind.names().get(name)
        elif isinstance(kind, (ListOf, MapOf)):
            kind = kind.item
    return False


def forces_replacement(doc: str) -> bool:
    return any(FORCES.search(sentence) and not HEDGED.search(sentence) for sentence in SENTENCE.split(doc))


def entries() -> dict[str, Any]:
    """The table, for whoever checks it against the SDKs."""
    return dict(_table())
