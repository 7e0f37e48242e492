"""Exchanges cross the bus unchanged, between versions too, and damage is noticed."""

from __future__ import annotations

import math
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.contract import Exchange, decode_exchanges, encode_exchanges

# Text as it leaves the proxy: lone surrogates have been replaced there, because no encoding can carry them.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
FULL = Exchange(
    id="a", time=1.5, prompt="p", response="r", route="x", arm="candidate", variant="v", model="m", endpoint="e",
    status=500, complete=False, finish_reason="length", refused=True, reasoning="because", tool_calls=("f", "g"),
    turns=3, context_chars=9, system_id="s", prompt_tokens=1, response_tokens=2, latency_s=0.5, ttft_s=0.1,
    stream=True, user="u", error="reset", reward=-1.0, label="l", annotator="z", gold="g", item="i",
)  # fmt: skip


@given(
    st.lists(
        st.builds(Exchange, id=TEXT, time=st.floats(allow_nan=False), prompt=TEXT, response=st.none() | TEXT),
        max_size=5,
    )
)
def test_what_is_encoded_comes_back(exchanges: list[Exchange]):
    """Any text, any time, no response or an empty one."""
    assert decode_exchanges(encode_exchanges(exchanges)) == exchanges


def test_every_field_comes_back():
    """Also those that are seldom set; none is left at its default here."""
    assert decode_exchanges(encode_exchanges([FULL])) == [FULL]
    for field in msgspec.structs.fields(Exchange):
        if not field.required:
            assert getattr(FULL, field.name) != field.default, field.name


def test_no_response_is_not_an_empty_response():
    """One is nothing to judge, the other a bad answer."""
    none, empty = (Exchange(id="i", time=0.0, prompt="p", response=response) for response in (None, ""))
    assert [each.response for each in decode_exchanges(encode_exchanges([none, empty]))] == [None, ""]


def test_defaults_take_no_room():
    """A batch is as large as what it says."""
    plain = len(encode_exchanges([Exchange(id="i", time=0.0, prompt="")]))
    assert plain < 40 < len(encode_exchanges([FULL]))


def test_keys_of_a_newer_writer_are_ignored():
    """So that proxy and monitor can be upgraded one after the other."""
    newer = msgspec.msgpack.encode([{"id": "i", "time": 1.0, "prompt": "p", "not_yet_invented": [1, 2]}])
    assert decode_exchanges(newer) == [Exchange(id="i", time=1.0, prompt="p")]


@given(st.integers(0, 200), st.integers(0, 255))
def test_damage_is_an_error_or_another_exchange_but_never_a_crash(place: int, byte: int):
    """One byte changed, or the end missing."""
    payload = bytearray(encode_exchanges([FULL]))
    payload[place % len(payload)] = byte
    for damaged in (bytes(payload), bytes(payload[: place % len(payload)])):
        try:
            decode_exchanges(damaged)
        except msgspec.DecodeError:
            continue


@pytest.mark.parametrize("damaged", [b"", b"\xc1", b"{}", b"\x92\x80", string.ascii_letters.encode()])
def test_what_is_no_batch_is_refused(damaged: bytes):
    """With the one error that readers expect."""
    with pytest.raises(msgspec.DecodeError):
        decode_exchanges(damaged)


def test_exchanges_are_frozen():
    """What was served does not change."""
    with pytest.raises(AttributeError):
        FULL.response = "other"  # type: ignore[misc]
    assert math.isclose(FULL.time, 1.5)
