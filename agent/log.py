"""Structured logs: one JSON object a line on standard error."""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def log(event: str, **values: Any) -> None:
    """What happened, in one word or a few, and its values."""
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 10**6 % 1000:03}Z"
    }
    print(json.dumps(line | {"event": event} | values, default=str), file=sys.stderr, flush=True)
