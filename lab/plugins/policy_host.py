"""Run a policy pack as `python -m pulumi.policy` does, but end with the engine even if it was killed."""

from __future__ import annotations

import os
import runpy
import sys
import threading


def _end_with_engine() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_engine, daemon=True).start()
    runpy.run_module("pulumi.policy", run_name="__main__", alter_sys=True)
