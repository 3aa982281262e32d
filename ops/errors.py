"""The errors of this room; their text is what a person reads under `pulumi up`."""

from __future__ import annotations


class OpsError(Exception):
    """A step that failed for good: one line that names the object, the step and what was seen last."""


class Unreachable(OpsError):
    """No HTTP answer came back; worth another try."""


class HttpError(OpsError):
    """The server answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def transient(self) -> bool:
        return self.status in (429, 500, 502, 503, 504)
