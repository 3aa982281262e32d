"""Heartbeats under attack: whatever is sent to an agent, only its own region's gateways can change a route."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import wire
from agent.config import Timing
from agent.core.node import Heard, NodeCore
from agent.core.sessions import CONFIRMED_SECONDS, KNOWN_BEATS, MANY_SUBSCRIBERS, Listener, Speaker

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
NODE = ("10.0.0.40", 41642)
TIMING = Timing()

messages = st.one_of(
    st.builds(wire.Hello, sender=st.text(), boot=st.text(), nonce=st.text(), address=st.text()),
    st.builds(wire.Answer, sender=st.text(), boot=st.text(), nonce=st.text(), beat=st.integers()),
    st.builds(wire.Beat, sender=st.text(), boot=st.text(), beat=st.integers(), well=st.booleans()),
    st.builds(
        wire.Say, sender=st.text(), boot=st.text(), nonce=st.text(), about=st.text(), age=st.floats(0, 9)
    ),
)


@settings(deadline=None)
@given(messages)
def test_a_message_arrives_as_it_was_sent(message: wire.Message) -> None:
    sealed = wire.seal(message, "hub", KEY)
    if len(sealed) <= wire.MAX_BYTES:
        assert wire.unseal(sealed, "hub", KEY) == message


@settings(deadline=None)
@given(messages, st.data())
def test_a_changed_byte_a_wrong_key_and_a_wrong_region_are_refused(
    message: wire.Message, data: st.DataObject
) -> None:
    sealed = bytearray(wire.seal(message, "hub", KEY))
    assert wire.unseal(bytes(sealed), "hub", OTHER_KEY) is None
    assert wire.unseal(bytes(sealed), "gpu", KEY) is None
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    assert wire.unseal(bytes(sealed), "hub", KEY) is None


@settings(deadline=None)
@given(st.binary(max_size=1500))
def test_random_bytes_are_refused(data: bytes) -> None:
    assert wire.unseal(data, "hub", KEY) is None
    assert wire.unseal(wire.MAGIC + data, "hub", KEY) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["kind", "region", "sender", "boot", "beat", "nonce", "unfit"]), json_values
    )
)
def test_well_sealed_nonsense_is_refused_or_read_with_the_right_types(body: dict[str, object]) -> None:
    """A holder of the key with a bug, or a newer version, cannot bring an agent down."""
    content = wire.MAGIC + json.dumps(body | {"region": "hub"}).encode()
    message = wire.unseal(content + wire._mac(content, KEY), "hub", KEY)
    if isinstance(message, wire.Beat):
        assert isinstance(message.beat, int)
        assert isinstance(message.unfit, tuple)


def test_a_newer_versions_fields_are_ignored() -> None:
    body = {"kind": "beat", "region": "hub", "sender": "gw", "boot": "b", "beat": 7, "colour": "blue"}
    content = wire.MAGIC + json.dumps(body).encode()
    assert wire.unseal(content + wire._mac(content, KEY), "hub", KEY) == wire.Beat(
        sender="gw", boot="b", beat=7
    )


class Pair:
    """A gateway's speaker and a node's listener, and everything that passed between them."""

    def __init__(self) -> None:
        self.speaker = Speaker("gw", "run-1")
        self.listener = Listener("gw")
        self.now = 0.0
        self.nonces = 0
        self.recorded: list[wire.Message] = []

    def greet(self) -> bool:
        self.nonces += 1
        hello = self.listener.hello(self.now, f"nonce-{self.nonces}", "node", "boot", NODE[0])
        answer = self.speaker.greeted(hello, NODE, self.now)
        assert answer is not None
        self.recorded += [hello, answer]
        return self.listener.answered(answer, self.now)

    def beat(self, seconds: float = 0.08) -> bool:
        self.now += seconds
        self.speaker.beat += 1
        beat = wire.Beat(sender="gw", boot=self.speaker.boot, beat=self.speaker.beat)
        self.recorded.append(beat)
        return self.listener.beaten(beat, self.now)


def test_a_greeted_gateway_is_heard_and_beats_for_the_greeter() -> None:
    pair = Pair()
    assert not pair.beat()  # nobody has asked it yet
    assert pair.greet()
    assert pair.speaker.audience(pair.now) == []
    assert pair.greet()
    assert pair.speaker.audience(pair.now) == [NODE]
    assert pair.beat()
    assert pair.listener.heard == pair.now


@pytest.mark.parametrize("restarted", [False, True], ids=["same listener", "listener that has just started"])
def test_replayed_messages_keep_no_dead_gateway_alive(restarted: bool) -> None:
    pair = Pair()
    for _ in range(5):
        pair.greet()
        pair.beat()
    # The gateway dies; the attacker has everything it ever said.
    listener = Listener("gw") if restarted else pair.listener
    heard = listener.heard
    for step in range(200):
        pair.now += 0.08
        listener.hello(pair.now, f"fresh-{step}", "node", "boot", NODE[0])
        for message in pair.recorded:
            if isinstance(message, wire.Answer):
                assert not listener.answered(message, pair.now)
            elif isinstance(message, wire.Beat):
                assert not listener.beaten(message, pair.now)
    assert listener.heard == heard


def test_held_back_beats_count_only_while_answers_are_fresh() -> None:
    """An attacker who delays what a gateway said before it died gains seconds, not hours."""
    pair = Pair()
    pair.greet()
    pair.greet()
    held = [wire.Beat(sender="gw", boot="run-1", beat=number) for number in range(2, 1000)]
    accepted = 0
    for beat in held:
        pair.now += 0.08
        accepted += pair.listener.beaten(beat, pair.now)
    assert accepted * 0.08 <= CONFIRMED_SECONDS + 0.1


def test_the_beats_of_an_earlier_run_are_refused_after_a_restart() -> None:
    pair = Pair()
    pair.greet()
    pair.beat()
    old = wire.Beat(sender="gw", boot="run-1", beat=999)
    pair.speaker = Speaker("gw", "run-2")
    pair.greet()
    assert not pair.listener.beaten(old, pair.now)
    assert pair.beat()


def test_another_gateways_name_does_not_pass_for_this_one() -> None:
    pair = Pair()
    pair.greet()
    assert not pair.listener.beaten(wire.Beat(sender="gw-2", boot="run-1", beat=50), pair.now)


def test_a_recorded_hello_makes_a_gateway_send_to_nobody() -> None:
    pair = Pair()
    pair.greet()
    hello = pair.listener.hello(pair.now, "n", "node", "boot", NODE[0])
    # From another address than it names: not even an answer.
    assert pair.speaker.greeted(hello, ("10.0.0.66", 41642), pair.now) is None
    # From its own, but long after: an answer of the same size, and no beats.
    pair.speaker.beat += KNOWN_BEATS + 1
    assert pair.speaker.greeted(hello, NODE, pair.now) is not None
    assert pair.speaker.audience(pair.now) == []
    # The negative control: in time it subscribes.
    recent = replace(hello, heard_beat=pair.speaker.beat)
    pair.speaker.greeted(recent, NODE, pair.now)
    assert pair.speaker.audience(pair.now) == [NODE]


def test_of_many_listeners_each_hears_every_other_beat_and_partners_every_one() -> None:
    pair = Pair()
    partner = ("10.0.0.21", 41642)
    for number in range(MANY_SUBSCRIBERS):
        pair.speaker.subscribers["10.0.1.1", number] = pair.now + 60
    assert len(pair.speaker.audience(pair.now)) == MANY_SUBSCRIBERS
    for number in range(100):
        pair.speaker.subscribers["10.0.2.1", number] = pair.now + 60
    pair.speaker.subscribers[partner] = pair.now + 60
    heard: Counter[tuple[str, int]] = Counter()
    for _ in range(10):
        pair.speaker.beat += 1
        heard.update(pair.speaker.audience(pair.now, always={partner[0]}))
    assert heard.pop(partner) == 10
    assert set(heard.values()) == {5}
    assert len(heard) == MANY_SUBSCRIBERS + 100
    assert len(pair.speaker.audience(pair.now, all_of_them=True)) == len(heard) + 1


@settings(deadline=None, max_examples=30)
@given(st.lists(messages, max_size=30), st.floats(-3600, 3600))
def test_messages_of_strangers_change_no_route(strangers: list[wire.Message], skew: float) -> None:
    """Sealed with another key, and from a machine whose clock is an hour off: no clock is in any message."""
    pair = Pair()
    pair.greet()
    core = NodeCore(["gw", "gw-2"], TIMING, started=-10.0)
    for number in range(20):
        pair.beat()
        core.choose([Heard(pair.listener.heard, pair.listener.last), Heard()], pair.now)
        if number < len(strangers):
            forged = wire.unseal(wire.seal(strangers[number], "hub", OTHER_KEY), "hub", KEY)
            assert forged is None
    assert core.current == (0,)
    assert all("time" not in field for field in wire.Beat.__dataclass_fields__)
