"""A seller's API, asked patiently: limits are waited for, reads are repeated, an order is sent once.

Whoever orders a machine a second time because no answer came may pay for two. So `order` says `Unclear` where it cannot
know whether the request was carried out, and its caller looks before it sends another one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

from ops.errors import HttpError, OpsError, Unreachable
from ops.http import Json, JsonClient
from ops.wait import STOPPED, Deadline

T = TypeVar("T")

UNAUTHORIZED, TOO_MANY = 401, 429
# Seconds before another try: doubled each time, to no more than the longest. A server's own wish is bounded too.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
# 1, 2, 4 ... 60 seconds: over two minutes of being refused, where limits are per minute.
MOST_REFUSALS = 8


class Unclear(OpsError):
    """A request that changes something, and no answer that tells whether it did."""


class PatientClient:
    """
    One API under one key, until one deadline. A key that the API refuses is replaced by the one in the environment
    variable `spare`, if there is one: the key that a delete was stored with may have been revoked since.
    """

    def __init__(
        self, connect: Callable[[str], JsonClient], key: str, deadline: Deadline, *, spare: str
    ) -> None:
        self._connect, self._keys = connect, [key]
        self._client = connect(key)
        self._deadline, self._spare = deadline, spare
        if other := os.environ.get(spare):
            self._keys.append(other)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Repeated until there is an answer."""
        return self._until(lambda: self._client.request("GET", path, query=query), f"GET {path}", again=True)

    def change(self, method: str, path: str, body: Json | None = None) -> Json:
        """A request that may be sent twice without harm, such as a delete."""
        return self._until(lambda: self._send(method, path, body), f"{method} {path}", again=True)

    def order(self, path: str, body: Json) -> Json:
        """A request that may be sent again only where the API has said that it did nothing."""
        try:
            return self._until(lambda: self._send("POST", path, body), f"POST {path}", again=False)
        except Unreachable as error:
            raise Unclear(str(error)) from error
        except HttpError as error:
            # Below 400 it was carried out and the answer cannot be read.
            if error.status < 400 or error.status >= 500:
                raise Unclear(str(error)) from error
            raise

    def _send(self, method: str, path: str, body: Json | None) -> Json:
        # On a kept connection a request whose answer is lost would be sent again.
        self._client.close()
        return self._client.request(method, path, body=body)

    def _until(self, call: Callable[[], T], what: str, *, again: bool) -> T:
        wait, refusals = FIRST_WAIT, 0
        while True:
            try:
                return call()
            except (Unreachable, HttpError) as error:
                if isinstance(error, HttpError) and error.status == UNAUTHORIZED:
                    self._another_key(error)
                    continue
                limited = isinstance(error, HttpError) and error.status == TOO_MANY
                refusals += limited
                if not limited and not (again and _passes(error)):
                    raise
                if self._deadline.expired or refusals >= MOST_REFUSALS:
                    raise self._tired(error, limited, refusals, what) from error
                asked = error.retry_after if isinstance(error, HttpError) else None
                self._pause(min(LONGEST_WAIT, max(wait, asked or 0)), what, error)
                wait = min(LONGEST_WAIT, wait * 2)

    def _another_key(self, error: HttpError) -> None:
        if len(self._keys) < 2:
            raise OpsError(
                f"{error}: the key is wrong, or was revoked after this request was stored. `pulumi up` with a new key "
                f"in the configuration stores it anew; to delete without one, set {self._spare} in the environment"
            ) from error
        print(f"the key of this request is refused; going on with the one in {self._spare}", file=sys.stderr)
        self._keys.pop(0)
        self._client.close()
        self._client = self._connect(self._keys[0])

    def _tired(self, error: Exception, limited: bool, refusals: int, what: str) -> OpsError:
        if limited:
            return OpsError(
                f"{what}: refused {refusals} times for too many requests; last: {error}. Who shares the limit (the "
                "account, or the address it is called from) also counts; try again in some minutes"
            )
        return OpsError(f"{what}: no answer within {self._deadline.seconds:.0f} s; last: {error}")

    def _pause(self, seconds: float, what: str, error: Exception) -> None:
        left = max(0.0, self._deadline.seconds - self._deadline.passed)
        print(f"{what}: again in {min(seconds, left):.0f} s: {error}", file=sys.stderr, flush=True)
        STOPPED.wait(min(seconds, left))


def _passes(error: Unreachable | HttpError) -> bool:
    return isinstance(error, Unreachable) or error.transient
