"""What a resource answers besides its inputs: unknown in a preview, made up in a rehearsal."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

from lab.plugins.base import Properties
from lab.plugins.schema import Kind, ListOf, MapOf, OneOf, Record
from lab.plugins.values import UNKNOWN

Leaf = Callable[[str, Kind], Any]
# Where a program reads an address it may well parse it: one that is nobody's (RFC 5737).
ADDRESS = re.compile(r"([iI]p|[iI]pAddress|^address)$")
MADE_UP_ADDRESS = "192.0.2.1"
# A managed cluster's certificate is base64 (gcp: masterAuth.clusterCaCertificate, aws: certificateAuthority.data).
ENCODED = re.compile(r"([cC]aCertificate|^data)$")
# Two made-up ranges would overlap. Clouds, too, answer an empty text for one that a resource does not have.
RANGE = re.compile(r"([cC]idr(Block|Range|Ipv[46])?|destRange)$")
MADE_UP: dict[object, Any] = {"boolean": False, "integer": 1, "number": 1}
# Deep enough for eks.Cluster's identities[].oidcs[].issuer; some types hold themselves.
DEEPEST = 4


def planned(schema: Record, always: frozenset[str], inputs: Properties, old: Properties) -> Properties:
    """`always`: outputs that every such resource has once it exists. The others are only there if they are stated."""
    known = {
        name: _merged(kind, inputs[name], old.get(name), _unknown) if inputs.get(name) is not None else None
        for name, kind in schema.names().items()
    }
    left = {name: old.get(name, UNKNOWN if name in always else None) for name in known}
    return {name: left[name] if value is None else value for name, value in known.items()}


def rehearsed(schema: Record, always: frozenset[str], inputs: Properties, logical: str = "") -> Properties:
    """`logical`: the resource's name in the program, from which an official plugin makes the one in the cloud."""
    if "name" in always and inputs.get("name") is None and logical:
        inputs = {**inputs, "name": f"{logical}-{hashlib.sha256(logical.encode()).hexdigest()[:7]}"}
    return {
        name: _merged(kind, inputs[name], None, _stated)
        if inputs.get(name) is not None
        else (made_up(name, kind) if name in always else None)
        for name, kind in schema.names().items()
    }


def _merged(kind: Kind, stated: Any, old: Any, leaf: Leaf) -> Any:
    """What was stated, and in every object of it what the cloud may add."""
    if isinstance(kind, Record) and isinstance(stated, dict):
        before = old if isinstance(old, dict) else {}
        return {
            name: _merged(inner, stated[name], before.get(name), leaf)
            if stated.get(name) is not None
            else before.get(name, leaf(name, inner))
            for name, inner in kind.names().items()
        }
    if isinstance(kind, ListOf) and isinstance(stated, list):
        same = isinstance(old, list) and len(old) == len(stated)
        return [
            _merged(kind.item, item, old[index] if same else None, leaf) for index, item in enumerate(stated)
        ]
    return stated


def _unknown(name: str, kind: Kind) -> Any:
    return UNKNOWN


def _stated(name: str, kind: Kind) -> Any:
    """Inside of what was stated no further objects are made up: no second disk, no public address."""
    return None if isinstance(kind, (Record, ListOf, MapOf)) else made_up(name, kind)


def made_up(name: str, kind: Kind, depth: int = DEEPEST) -> Any:
    if isinstance(kind, Record):
        inner = kind.names().items() if depth else ()
        return {key: made_up(key, one, depth - 1) for key, one in inner}
    if isinstance(kind, ListOf):
        return [made_up(name, kind.item, depth - 1)] if depth else []
    if isinstance(kind, MapOf):
        return {}
    if isinstance(kind, OneOf):
        return kind.choices[0]
    if kind in MADE_UP:
        return MADE_UP[kind]
    if ADDRESS.search(name):
        return MADE_UP_ADDRESS
    if RANGE.search(name):
        return ""
    text = f"rehearsed-{name}"
    return base64.b64encode(text.encode()).decode() if ENCODED.search(name) else text
