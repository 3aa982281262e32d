"""Property values on the wire are the engine's, secrets and unknowns included."""

from __future__ import annotations

import pulumi.runtime.rpc as rpc
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.plugins import values
from lab.plugins.diff import changes
from lab.plugins.values import UNKNOWN, Secret, decode, encode, has_secret, marked_like, plain

SCALARS = st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=8) | st.just(UNKNOWN)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | inner.map(Secret)
    ),
    max_leaves=8,
)


def without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return Secret(without_nulls(value.value)) if isinstance(value, Secret) else value


def test_signatures_are_those_of_the_sdk() -> None:
    assert rpc._special_sig_key == values.SIGNATURE
    assert rpc._special_secret_sig == values.SECRET
    assert rpc._special_output_value_sig == values.OUTPUT
    assert values.UNKNOWN_TEXT == rpc.UNKNOWN


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=4))
def test_every_value_survives_the_trip(properties: dict[str, object]) -> None:
    assert decode(encode(properties)) == without_nulls(properties)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=4))
def test_a_copy_of_marked_values_gets_every_mark_back(properties: dict[str, object]) -> None:
    assert has_secret(marked_like(plain(properties), properties)) == has_secret(without_nulls(properties))


def test_an_output_value_is_read_as_its_secret_or_unknown_self() -> None:
    sent = encode(
        {
            "a": {values.SIGNATURE: values.OUTPUT, "secret": True, "value": "x"},
            "b": {values.SIGNATURE: values.OUTPUT},
        }
    )
    assert decode(sent) == {"a": Secret("x"), "b": UNKNOWN}


@settings(max_examples=40)
@given(VALUES)
def test_nothing_differs_from_itself(value: object) -> None:
    known = plain(value)
    assert changes({"a": known}, {"a": known}) == {}


def test_changed_paths_are_in_the_engines_notation() -> None:
    old = {"a": {"b": 1, "x.y/z": "old"}, "list": [1, 2], "gone": True}
    new = {"a": {"b": 2, "x.y/z": "new"}, "list": [1], "fresh": "x"}
    assert changes(old, new) == {
        "a.b": "update", 'a["x.y/z"]': "update", "list[1]": "delete", "gone": "delete", "fresh": "add",
    }  # fmt: skip


def test_what_is_not_known_yet_counts_as_changed() -> None:
    assert changes({"a": "x"}, {"a": UNKNOWN}) == {"a": "update"}
