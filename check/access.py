"""How the operator's tools find a cluster: by the stack's outputs, or by files that hold them."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
from typing import Any

from check import stack
from check.result import CheckError
from check.stack import Stack


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", metavar="FILE", help="instead of the one in the outputs")
    parser.add_argument("--outputs", metavar="FILE", help="`pulumi stack output --json --show-secrets`")
    parser.add_argument("--stack", default="dev", help="whose outputs to read where no file is given (dev)")


def planned(options: argparse.Namespace) -> Stack:
    """The stack that the options name; raises CheckError."""
    return stack.parse(_outputs(options), _read(options.kubeconfig))


def _outputs(options: argparse.Namespace) -> dict[str, Any]:
    if options.outputs:
        return stack.read(options.outputs)
    # The lab's stack is asked through the lab; the import is made here: everywhere else there is no lab.
    try:
        found: dict[str, Any] = importlib.import_module("lab.engine").outputs(options.stack)
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise CheckError(
            f"stack {options.stack}: its outputs cannot be read: {(reason or ['?'])[-1]}"
        ) from error
    if found:
        return found
    command = ["pulumi", "stack", "output", "--json", "--show-secrets", "--stack", options.stack]
    try:
        printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        return dict(json.loads(printed))
    except (OSError, ValueError, subprocess.CalledProcessError):
        raise CheckError(
            f"stack {options.stack}: no outputs found; run `make up`, or give --outputs FILE"
        ) from None


def _read(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise CheckError(f"--kubeconfig {path}: {error.strerror}") from None
