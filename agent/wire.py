"""What agents say to each other: small JSON messages, each with a keyed hash under the region's key.

No clock is compared. A hello carries a fresh nonce that the answer must repeat, so an answer cannot be an old one; the
answer names the gateway's run (`boot`) and the number of its last beat, so only later beats of that run count. What is
recorded and sent again, even to an agent that has just started, therefore means nothing.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

MAGIC = b"tspn\x01"
MAC_BYTES = 16
MAX_BYTES = 1200


@dataclass(frozen=True, kw_only=True)
class Message:
    """`sender`: the agent's machine. `boot`: a random name of this run of it."""

    KIND: ClassVar[str] = ""
    sender: str
    boot: str


@dataclass(frozen=True, kw_only=True)
class Hello(Message):
    """
    To a gateway, every two seconds: answer me, and send me your beats. `address` is where it comes from: an answer goes
    nowhere else. Beats follow only if `heard_boot` and `heard_beat` are recent ones of the gateway: a recorded hello
    does not make it send for long.
    """

    KIND = "hello"
    nonce: str
    address: str
    heard_boot: str = ""
    heard_beat: int = 0
    # The range of the sender's pods: where there is a node, its gateways advertise a tile for it.
    pods: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer(Message):
    """From a gateway: I am here now (the nonce says so), and this is the number of my last beat."""

    KIND = "answer"
    nonce: str
    beat: int


@dataclass(frozen=True, kw_only=True)
class Beat(Message):
    """
    From a gateway, many times a second. `up`: tailscaled runs and is connected. `lan`: somebody of the region hears
    me. `far`: another region answers me. `well`: send me traffic. `unfit`: partners through which nothing comes
    back to me though the same target answers me directly. `trusted`: the region's gateways that shall carry traffic,
    as I see it; empty from an agent that does not say.
    """

    KIND = "beat"
    beat: int
    up: bool = True
    lan: bool = True
    far: bool = True
    well: bool = True
    drain: bool = False
    unfit: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()

    @property
    def says(self) -> tuple[object, ...]:
        """All but which beat it is."""
        return (self.up, self.lan, self.far, self.well, self.drain, self.unfit, self.trusted)


@dataclass(frozen=True, kw_only=True)
class Ask(Message):
    """From a gateway to any machine of the region: when did you last hear gateway `about`?"""

    KIND = "ask"
    nonce: str
    about: str


@dataclass(frozen=True, kw_only=True)
class Say(Message):
    """The reply: so many seconds ago; negative for never."""

    KIND = "say"
    nonce: str
    about: str
    age: float


KINDS: dict[str, type[Message]] = {kind.KIND: kind for kind in (Hello, Answer, Beat, Ask, Say)}


def seal(message: Message, region: str, key: bytes) -> bytes:
    """The datagram of a message."""
    content = MAGIC + _encode(message.__dict__ | {"kind": message.KIND, "region": region}).encode()
    return content + _mac(content, key)


def unseal(datagram: bytes, region: str, key: bytes) -> Message | None:
    """The message of a datagram; None for whatever was not sealed with this region's key, or has another shape."""
    if not len(MAGIC) + MAC_BYTES < len(datagram) <= MAX_BYTES or not datagram.startswith(MAGIC):
        return None
    content, mac = datagram[:-MAC_BYTES], datagram[-MAC_BYTES:]
    if not hmac.compare_digest(_mac(content, key), mac):
        return None
    try:
        text = content[len(MAGIC) :].decode()
        body, end = _decode(text)
        if end != len(text) or body.get("region") != region:
            return None
        return _SHAPES[body["kind"]].message(body)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _mac(content: bytes, key: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")[:MAC_BYTES]


# One for all: json.dumps makes a new encoder for each message that is not to have blanks.
_encode = json.JSONEncoder(separators=(",", ":")).encode
# Nothing stands around a message, so nobody has to look for it there.
_decode = json.JSONDecoder().raw_decode
_TYPES: dict[Any, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool": (bool,), "float": (int, float)}


class _Shape:
    """What a message of a kind looks like, looked up once: a gateway reads a hundred a second."""

    def __init__(self, kind: type[Message]) -> None:
        self._kind = kind
        self._types = [(field.name, field.type) for field in fields(kind)]
        self._defaults = {field.name: field.default for field in fields(kind) if field.default is not MISSING}

    def message(self, body: dict[str, Any]) -> Message:
        """Raises what `unseal` takes for another shape."""
        values = {}
        for name, type_ in self._types:
            if name in body:
                values[name] = _value(type_, body[name])
            elif name in self._defaults:
                values[name] = self._defaults[name]
            else:
                raise TypeError(f"no {name}")
        # As the frozen class's own __init__ would do, one attribute at a time.
        message = object.__new__(self._kind)
        message.__dict__.update(values)
        return message


_SHAPES = {name: _Shape(kind) for name, kind in KINDS.items()}


def _value(type_: Any, value: Any) -> Any:
    if type_ == "tuple[str, ...]":
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise TypeError(f"{value!r} is no list of names")
        return tuple(value)
    if not isinstance(value, _TYPES[type_]) or (type_ == "int" and isinstance(value, bool)):
        raise TypeError(f"{value!r} is no {type_}")
    return value
