"""Reading a request: a JSON object of which each key is checked when it is asked for."""

from __future__ import annotations

from typing import Any

from ops.errors import OpsError
from ops.http import Json

_MISSING = object()


def field(
    document: Json, key: str, kind: type | tuple[type, ...], default: object = _MISSING, *, path: str = ""
) -> Any:
    """The value of a key; an error names the key by its `path`, and never shows what is there."""
    value = document.get(key, default)
    if value is _MISSING:
        raise OpsError(f"stdin: {path}{key} is missing")
    if value is None and default is not _MISSING:
        return default
    if not isinstance(value, kind):
        # The value is not shown: it may be a secret in the wrong place.
        raise OpsError(f"stdin: {path}{key} is a {type(value).__name__}, which is not what is written there")
    return value
