"""Property values between the engine's wire format and Python; secrets and unknowns survive the trip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import struct_pb2

# The engine's signatures (importing the SDK for them is slow); a test compares them with the SDK's.
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_TEXT: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Unknown:
    """A value that only the update will know."""

    def __repr__(self) -> str:
        return "<unknown until the update>"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Secret:
    value: Any

    def __repr__(self) -> str:
        return "[secret]"


def decode(struct: struct_pb2.Struct) -> dict[str, Any]:
    return {key: _decode(value) for key, value in struct.fields.items()}


def _decode(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _decode_struct(value.struct_value)
    if kind == "list_value":
        return [_decode(item) for item in value.list_value.values]
    if kind == "string_value":
        return UNKNOWN if value.string_value == UNKNOWN_TEXT else value.string_value
    if kind == "number_value":
        return int(value.number_value) if value.number_value.is_integer() else value.number_value
    return value.bool_value if kind == "bool_value" else None


def _decode_struct(struct: struct_pb2.Struct) -> Any:
    fields = struct.fields
    signature = fields[SIGNATURE].string_value if SIGNATURE in fields else ""
    if signature == SECRET:
        return Secret(_decode(fields["value"]))
    if signature == OUTPUT:
        value = _decode(fields["value"]) if "value" in fields else UNKNOWN
        return Secret(value) if "secret" in fields and fields["secret"].bool_value else value
    return decode(struct)


def encode(properties: dict[str, Any]) -> struct_pb2.Struct:
    # Absent and null are the same to a program; null would show as a change from absent.
    return struct_pb2.Struct(
        fields={key: _encode(value) for key, value in properties.items() if value is not None}
    )


def _encode(value: Any) -> struct_pb2.Value:
    if isinstance(value, Secret):
        wrapped = {SIGNATURE: struct_pb2.Value(string_value=SECRET), "value": _encode(value.value)}
        return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=wrapped))
    if isinstance(value, Unknown):
        return struct_pb2.Value(string_value=UNKNOWN_TEXT)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, (int, float)):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, dict):
        return struct_pb2.Value(struct_value=encode(value))
    if isinstance(value, (list, tuple)):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_encode(item) for item in value]))
    return (
        struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        if value is None
        else struct_pb2.Value(string_value=str(value))
    )


def plain(value: Any) -> Any:
    """The same value without secret marks (unknowns stay)."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def marked_like(value: Any, model: Any) -> Any:
    """`value` with a secret mark wherever `model` has one, so that a copy of a secret stays a secret."""
    if isinstance(model, Secret):
        return Secret(marked_like(value, model.value))
    if isinstance(value, dict) and isinstance(model, dict):
        return {key: marked_like(item, model.get(key)) for key, item in value.items()}
    if isinstance(value, list) and isinstance(model, list):
        if len(value) == len(model):
            return [marked_like(item, other) for item, other in zip(value, model, strict=True)]
        return Secret(value) if has_secret(model) else value
    return value


def has_secret(value: Any) -> bool:
    return any(isinstance(item, Secret) for item in walk(value))


def has_unknown(value: Any) -> bool:
    return any(isinstance(item, Unknown) for item in walk(value))


# The official schema makes all of a connection a secret; where it leads is what an operator must be told.
OPEN_IN_A_SECRET = frozenset({"host", "user", "hostKey"})


def secret_texts(value: Any, inside: bool = False) -> Iterator[str]:
    """Every text inside a secret, for keeping them out of messages."""
    if isinstance(value, Secret):
        yield from secret_texts(value.value, inside=True)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not (inside and name in OPEN_IN_A_SECRET):
                yield from secret_texts(item, inside)
    elif isinstance(value, list):
        for item in value:
            yield from secret_texts(item, inside)
    elif inside and isinstance(value, str):
        yield value


def walk(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, Secret):
        yield from walk(value.value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)
