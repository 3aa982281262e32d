"""Kubernetes manifests that are written as text inside other inputs: node scripts, cloud-init, user data, ConfigMaps.

A machine's first gateway is a static pod, and a static pod is a file that some script writes. So the rules read
scripts: whatever looks like a YAML or JSON document of a workload is taken for one. Any text may come along, so
every step is bounded, and a text without the words that a rule asks for is left alone.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import re
import textwrap
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

import yaml

WORKLOADS = frozenset(("Pod", "DaemonSet", "Deployment", "StatefulSet", "ReplicaSet", "Job", "CronJob"))
# One of these stands in every manifest that a rule is about; looking for them costs microseconds.
_MARKERS = ("containerboot", "tailscale", "TS_ROUTES", "flannel", "calico")
_LONGEST = 1_000_000  # characters of one text that are read
_MOST_DOCUMENTS = 50  # manifests of one text
_LONGEST_DOCUMENT = 100_000
# The one that is written in C, twenty times as fast, where the pack's own environment has it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_KIND_LINE = re.compile(
    rf"^(?P<indent>[ ]*)kind:[ ]*[\"']?(?:{'|'.join(sorted(WORKLOADS))})[\"']?[ ]*(?:#.*)?$", re.MULTILINE
)
_JSON_KIND = re.compile(rf'"kind"\s*:\s*"(?:{"|".join(sorted(WORKLOADS))})"')
_FIELD = re.compile(r"[\w.\"'/-]+[ ]*:(?:[ ]|$)|-[ ]|#")
# Base64 as tools write it: a long run, or indented lines of 60 characters and more with a shorter one at the end.
_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{60,}(?:[ \t]*\n[ \t]*[A-Za-z0-9+/]{60,})*(?:[ \t]*\n[ \t]*[A-Za-z0-9+/]+)?={0,2}"
)
# Levels of a document: a Pod has 10, and the YAML library ends the process at some ten thousand.
_DEEPEST = 40
# The same asked of all bytes at once: most texts hold none, and the expression costs 20 times as much.
_LEAST_RUN = b"x" * 60
_RUN_OR_NOT = bytes(ord("x") if re.match(r"[A-Za-z0-9+/]", chr(code)) else 0 for code in range(256))


def workload_documents(text: str) -> tuple[Mapping[str, Any], ...]:
    """Every workload manifest in a text, also where it is base64 or gzip inside it; none in garbage."""
    return tuple(
        document for layer in readable_layers(text) if _marked(layer) for document in _documents(layer)
    )


def readable_layers(text: str) -> Iterator[str]:
    """The text itself, then what its base64 parts hold as text."""
    text = text[:_LONGEST].replace("\r\n", "\n")
    yield text
    if _LEAST_RUN not in text.encode(errors="replace").translate(_RUN_OR_NOT):
        return
    budget = _LONGEST
    for match in _BASE64.finditer(text):
        decoded = _decoded(match.group(), budget)
        if decoded:
            budget -= len(decoded)
            yield decoded
        if budget <= 0:
            return


def _marked(text: str) -> bool:
    return "kind" in text and any(marker in text for marker in _MARKERS)


def _decoded(run: str, budget: int) -> str | None:
    """Text that was base64, or gzip in base64; None for anything else. The last line may be a word that follows."""
    lines = run.split()
    return _unpacked("".join(lines), budget) or (
        _unpacked("".join(lines[:-1]), budget) if lines[1:] else None
    )


def _unpacked(packed: str, budget: int) -> str | None:
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
        if raw.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=BytesIO(raw)) as file:
                raw = file.read(budget)
        return raw[:budget].decode()
    except (ValueError, binascii.Error, OSError, EOFError, zlib.error):
        return None


@lru_cache(maxsize=256)
def _documents(text: str) -> tuple[Mapping[str, Any], ...]:
    found: list[Mapping[str, Any]] = []
    for document in (*_yaml_documents(text), *_json_documents(text)):
        if document.get("kind") in WORKLOADS and document not in found:
            found.append(document)
    return tuple(found)


def _yaml_documents(text: str) -> Iterator[Mapping[str, Any]]:
    """The block of lines around each `kind:` that belongs together by its indent, wherever it stands."""
    lines = text.split("\n")
    starts = _line_numbers(text)
    covered = -1
    for count, (number, indent) in enumerate(starts):
        if number <= covered:
            continue
        if count == _MOST_DOCUMENTS:
            return
        first, last = _block(lines, number, indent)
        covered = last
        block = "\n".join(lines[first : last + 1])[:_LONGEST_DOCUMENT]
        try:
            document = _loaded(textwrap.dedent(block))
        except (yaml.YAMLError, ValueError, RecursionError):
            continue
        if isinstance(document, dict):
            yield document


def _line_numbers(text: str) -> list[tuple[int, int]]:
    """Line and indent of every `kind:` of a workload."""
    found: list[tuple[int, int]] = []
    line = position = 0
    for match in _KIND_LINE.finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        found.append((line, len(match.group("indent"))))
    return found


def _block(lines: list[str], number: int, indent: int) -> tuple[int, int]:
    """First and last line of a document: a here-document's end, `---` or a smaller indent ends it."""

    def belongs(line: str) -> bool:
        bare = line.lstrip(" ")
        if not bare:
            return True
        deep = len(line) - len(bare)
        return deep > indent or (deep == indent and bare != "---" and bool(_FIELD.match(bare)))

    first = last = number
    while first > 0 and belongs(lines[first - 1]):
        first -= 1
    while last + 1 < len(lines) and belongs(lines[last + 1]):
        last += 1
    return first, last


def _json_documents(text: str) -> Iterator[Mapping[str, Any]]:
    """Objects whose `kind` is a workload's, tried from the nearest braces before it."""
    decoder = json.JSONDecoder()
    after = 0
    for match in list(_JSON_KIND.finditer(text))[:_MOST_DOCUMENTS]:
        start = match.start()
        for _ in range(20):
            start = text.rfind("{", max(after, match.start() - _LONGEST_DOCUMENT), start)
            if start < 0:
                break
            try:
                document, end = decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                continue
            if end > match.end() and isinstance(document, dict) and "kind" in document:
                yield document
                after = end
                break


def _loaded(block: str) -> Any:
    """A YAML document; refused are depth, which ends the process inside the library, and aliases, which multiply."""
    depth = 0
    for event in yaml.parse(block, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST or isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("not a manifest")
    return yaml.load(block, Loader=_Loader)
