"""The errors of this room; their text is what a person reads under `pulumi up`."""

from __future__ import annotations


class OpsError(Exception):
    """A step that failed for good: one line that names the object, the step and what was seen last."""


class Unreachable(OpsError):
    """No HTTP answer came back; worth another try."""


class HttpError(OpsError):
    """The server answered with an error status."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        # Seconds that the server asks to wait (RFC 9110, section 10.2.3), if it says so.
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        return self.status in (429, 500, 502, 503, 504)
