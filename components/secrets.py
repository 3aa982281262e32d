"""Marking values as secret, with types."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import pulumi

T = TypeVar("T")


def secret(value: pulumi.Output[T]) -> pulumi.Output[T]:
    """The value, encrypted in state and hidden in output (the SDK's own signature loses its type)."""
    return cast("pulumi.Output[T]", pulumi.Output.secret(cast(Any, value)))
