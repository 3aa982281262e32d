"""Resources as the engine sends them, read once and only if a rule looks: secrets marked, unknown inputs guarded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY
from pulumi_policy.proxy import _is_unknown, unknown_checking_proxy

from .inputs import Props, SecretText

Value = Any
_ABSENT: Value = object()


class Inputs(Mapping[str, Any]):
    """
    A resource's properties. With `written`, what the program wrote for it: the engine sends a stack rule the outputs
    (pulumi pkg/resource/deploy/step_generator.go, AnalyzeResources), in which every property that the provider will
    compute is unknown. One that nobody wrote is absent here, as a rule means it; one that was written stays unknown.
    """

    def __init__(self, message: Struct, written: Inputs | None = None) -> None:
        self._message, self._written = message, written

    @cached_property
    def plain(self) -> dict[str, Value]:
        read: dict[str, Value] = _marked(json_format.MessageToDict(self._message), secret=False)
        if self._written is not None:
            read = _merged(self._written.plain, read)
        return read

    @cached_property
    def _guarded(self) -> Props:
        return unknown_checking_proxy(self.plain)

    def __getitem__(self, key: str) -> Value:
        return self._guarded[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._guarded)

    def __len__(self) -> int:
        return len(self._guarded)


def _marked(value: Value, *, secret: bool) -> Value:
    """
    The value with secret texts marked. pulumi_policy unwraps a secret without a trace (deserialize.py), so that a rule
    could neither ask for one nor avoid to print it. Assets keep their wire form: a mapping with `text` or `path`.
    """
    if isinstance(value, dict):
        if value.get(SPECIAL_SIG_KEY) == SPECIAL_SECRET_SIG:
            return _marked(value.get("value"), secret=True)
        return {key: _marked(inner, secret=secret) for key, inner in value.items()}
    if isinstance(value, list):
        return [_marked(inner, secret=secret) for inner in value]
    return SecretText(value) if secret and isinstance(value, str) else value


def _merged(written: Value, made: Value) -> Value:
    """What a provider made of what the program wrote; what it will compute of its own accord is left out."""
    if isinstance(made, dict) and (written is _ABSENT or isinstance(written, dict)):
        known = {} if written is _ABSENT else written
        merged = {key: _merged(known.get(key, _ABSENT), made.get(key, _ABSENT)) for key in {**known, **made}}
        return {key: value for key, value in merged.items() if value is not _ABSENT}
    # Equal texts: the written one may be marked as secret.
    if made is _ABSENT or made == written:
        return written
    return written if _has_unknown(made) else made


def _has_unknown(value: Value) -> bool:
    if isinstance(value, dict):
        return any(_has_unknown(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_has_unknown(inner) for inner in value)
    return bool(_is_unknown(value))
