"""Every problem of a stack file as lines that a person can act on: file, path, what was got, what to write.

Values of unknown keys are never shown: a secret in the wrong place must not reach a log.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config.places import NO_NODES, SELLER_KEYS
from config.schema import RANGES, StackConfig

KEY = "tailspan:stack"
_SECRET_WORDS = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)
_PLAIN_KEY = re.compile(r"[\w-]+")
_LONGEST_VALUE = 80


def stack_problems(data: Any, file: str) -> tuple[StackConfig | None, tuple[str, ...]]:
    """The validated stack, or every reason why there is none."""
    if not isinstance(data, dict):
        return None, (
            f"{file}: {KEY}: got {_shown(data)}: is not a mapping; write kubernetes, "
            "access, tailnet and regions in it",
        )
    try:
        return StackConfig.model_validate(data), ()
    except ValidationError as error:
        # A default that hangs on another field is not asked for when that region is refused anyway.
        return None, tuple(
            f"{file}: {_line(details)}"
            for details in error.errors()
            if details["type"] != "default_factory_not_called"
        )


def _line(details: ErrorDetails) -> str:
    place = _Place(details["loc"])
    match details["type"]:
        case "missing":
            # A range may also come from the region's slot.
            slot = ", or slot: 3" if place.name in RANGES else ""
            return f"{place}: is missing; write {place.example()}{slot}"
        case "extra_forbidden":
            return f"{place}: unknown key; {place.known_keys()}"
        case "union_tag_invalid":
            context = details["ctx"]
            if reason := NO_NODES.get(str(context["tag"])):
                return f"{place}.kind: got {_shown(context['tag'])}: {reason}"
            return (
                f"{place}.kind: got {_shown(context['tag'])}: unknown kind; write one of "
                f"{_plain(context['expected_tags'])}"
            )
        case "union_tag_not_found":
            return f"{place}.kind: is missing; write kind: with one of {', '.join(place.kinds())}"
        case "value_error":
            return f"{place}: got {_shown(details['input'])}: {details['ctx']['error']}"
        case "literal_error":
            return (
                f"{place}: got {_shown(details['input'])}: unknown value; write "
                f"{_plain(details['ctx']['expected'])}"
            )
        case _:
            reason = details["msg"][0].lower() + details["msg"][1:]
            return f"{place}: got {_shown(details['input'])}: {reason}; write {place.example()}"


class _Place:
    """Where in the stack file an error is: pydantic's location without union tags, and the model there."""

    def __init__(self, loc: tuple[int | str, ...]) -> None:
        self.path = KEY
        self.name = KEY
        self.field: FieldInfo | None = None
        self.owner: type[BaseModel] = StackConfig
        self.models: list[type[BaseModel]] = [StackConfig]
        for part in loc:
            self._enter(part)

    def __str__(self) -> str:
        return self.path

    def _enter(self, part: int | str) -> None:
        if isinstance(part, int):
            self.path += f"[{part}]"
        elif len(self.models) > 1:
            self.models = [model for model in self.models if part in _kinds(model)]
        else:
            self.owner = self.models[0] if self.models else self.owner
            self.field = self.owner.model_fields.get(part)
            self.models = _models(self.field.annotation) if self.field else []
            # A key with a blank or a line break in it must not pass for two.
            self.path += f".{part if _PLAIN_KEY.fullmatch(part) else _shown(part)}"
            self.name = part

    def example(self) -> str:
        """How the field is written, for example."""
        examples = self.field.examples if self.field else None
        if examples:
            value = examples[0]
            return f"{self.name}: {value if isinstance(value, str) else json.dumps(value)}, for example"
        keys = [
            key
            for model in self.models[:1]
            for key, field in model.model_fields.items()
            if field.is_required()
        ]
        return (
            f"{self.name}: with {', '.join(keys)}" if keys else f"a value of the right type for {self.name}"
        )

    def kinds(self) -> list[str]:
        return [kind for model in self.models for kind in _kinds(model)]

    def known_keys(self) -> str:
        known = list(self.owner.model_fields)
        close = get_close_matches(self.name, known, n=1)
        if close:
            return f"did you mean {close[0]}?"
        if _SECRET_WORDS.search(self.name):
            kind = next(iter(_kinds(self.owner)), "")
            return (
                "remove it here; a secret has a key of its own: pulumi config set "
                f"--secret tailspan:{SELLER_KEYS.get(kind, 'tailnetApiKey')}"
            )
        return f"remove it, or write one of {', '.join(known)}"


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models inside an annotation such as `tuple[Annotated[A | B, ...], ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field else ()


def _plain(quoted: str) -> str:
    return quoted.replace("'", "")


def _shown(value: Any) -> str:
    # What stands in it is not shown: a misplaced secret might.
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple) and any(isinstance(item, dict | list | tuple) for item in value):
        return "a list"
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
