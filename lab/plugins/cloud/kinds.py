"""What the types of a cloud's SDK need beyond lab.plugins.schema: alternatives, files, texts that hold JSON."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lab.plugins.schema import Judge, Kind, Problem, describe, problems, wanted
from lab.plugins.values import SIGNATURE

# How the engine's protocol marks files (sdk/python/lib/pulumi/runtime/rpc.py); a test compares them with the SDK's.
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
FILES = {"asset": ASSET, "archive": ARCHIVE}


@dataclass(frozen=True)
class AnyOf(Judge):
    """One of several kinds."""

    kinds: tuple[Kind, ...]

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        found = [list(problems(kind, value, path)) for kind in self.kinds]
        if all(found):
            # What goes deeper than the value itself was meant for that kind.
            inner = [some for some in found if all(problem.path != path for problem in some)]
            yield from (
                min(inner, key=len)
                if inner
                else [Problem(path, f"got {describe(value)}, wants {self.wanted()}")]
            )

    def wanted(self) -> str:
        return " or ".join(wanted(kind) for kind in self.kinds)


@dataclass(frozen=True)
class Known(Judge):
    """
    A text for which the SDK has an enumeration and yet takes any (`Union[str, Enum]`): such lists are incomplete, so
    another text passes, with a warning where it looks like a slip.
    """

    choices: tuple[str, ...]

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        yield from problems("string", value, path)

    def wanted(self) -> str:
        return wanted("string")

    def slip(self, value: Any) -> str:
        """The known text that was probably meant."""
        if not isinstance(value, str) or value in self.choices:
            return ""
        return next(iter(difflib.get_close_matches(value, self.choices, n=1, cutoff=0.85)), "")


@dataclass(frozen=True)
class FileKind(Judge):
    """A pulumi.Asset or pulumi.Archive."""

    name: str

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        if not (isinstance(value, dict) and value.get(SIGNATURE) == FILES[self.name]):
            yield Problem(path, f"got {describe(value)}, wants {self.wanted()}")

    def wanted(self) -> str:
        return f"an {self.name} (pulumi.{self.name.capitalize()})"


@dataclass(frozen=True)
class Encoded(Judge):
    """A provider's setting: the SDK sends everything but texts as JSON."""

    kind: Kind

    def problems(self, value: Any, path: str) -> Iterator[Problem]:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                yield Problem(path, f"got a string, wants {self.wanted()} (as JSON)")
                return
        yield from problems(self.kind, value, path)

    def wanted(self) -> str:
        return wanted(self.kind)
