"""One finding, and an error that ends the run."""

from __future__ import annotations

from dataclasses import dataclass


class CheckError(Exception):
    """The check itself could not run: what is missing and how to get it."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """`name` groups findings, `subject` says where; a failed one names its likely cause."""

    name: str
    subject: str
    ok: bool
    detail: str = ""
    cause: str = ""
    seconds: float = 0.0
