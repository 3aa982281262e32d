"""`python -m ops v1 <verb>`: JSON on stdin, progress on stderr, one JSON result on stdout."""

from __future__ import annotations

import json
import signal
import sys
from types import FrameType

from ops import v1
from ops.errors import OpsError
from ops.http import Json

VERSIONS = {"v1": v1}


def main(arguments: list[str]) -> int:
    try:
        result = _run(arguments)
    except OpsError as error:
        print(f"ops: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, sort_keys=True))
    return 0


def _run(arguments: list[str]) -> Json:
    if len(arguments) != 2 or arguments[0] not in VERSIONS:
        raise OpsError(
            f"got {' '.join(arguments) or 'nothing'!r}; write: python -m ops v1 <{'|'.join(v1.VERBS)}>"
        )
    version, verb = VERSIONS[arguments[0]], arguments[1]
    if verb not in version.VERBS:
        raise OpsError(f"unknown verb {verb!r}; {arguments[0]} has {', '.join(version.VERBS)}")
    result: Json = version.VERBS[verb]({} if verb in version.WITHOUT_INPUT else _stdin())
    return result


def _stdin() -> Json:
    try:
        document = json.load(sys.stdin)
    except ValueError:
        raise OpsError("stdin: not JSON") from None
    if not isinstance(document, dict):
        raise OpsError(f"stdin: a JSON object is expected, got a {type(document).__name__}")
    return document


def _stop(_number: int, _frame: FrameType | None) -> None:
    # An exception, so that a bootstrap token does not outlive a cancelled run.
    raise SystemExit(130)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    raise SystemExit(main(sys.argv[1:]))
