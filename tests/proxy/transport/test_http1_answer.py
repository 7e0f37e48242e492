"""Answers as their bytes arrive: the same whatever the cuts, a named fault for what is none, and nobody else's bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.proxy.transport.connections import Outcome, outcome

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
FAULTS = {"upstream_garbage", "upstream_reset", "upstream_timeout"}


@pytest.mark.parametrize(
    "raw",
    [
        OK + b"x: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
        OK.replace(b"\r\n", b"\n") + b"content-length: 2\n\nok",
        OK + b"x: a\ncontent-length: 2\r\n\r\nok",
        OK + b"x: a\rb\r\ncontent-length: 2\r\n\r\nok",
        OK + b"x: a\0b\r\ncontent-length: 2\r\n\r\nok",
        OK + b"content-length : 2\r\n\r\nok",
        OK + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok",
        OK + b"content-length: 2, 2\r\n\r\nok",
        OK + b"content-length: +2\r\n\r\nok",
        OK + b"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"transfer-encoding: gzip\r\n\r\nok",
        OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"2\nok\n0\n\n",
        CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n",
        CHUNKED + b"1\r\nok\r\n0\r\n\r\n",
        OK.replace(b"1.1", b"2.0") + b"content-length: 2\r\n\r\nok",
        OK + b": x\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 1000 X\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_can_be_read_in_two_ways_is_garbage(raw: bytes) -> None:
    """The upstream's framing is as strictly read as a client's."""
    assert (await outcome([raw])).fault == "upstream_garbage"


async def test_trailers_are_no_headers() -> None:
    """However they arrive, and the connection serves on."""
    raw = CHUNKED + b"2\r\nok\r\n0\r\nset-cookie: evil\r\n\r\n"
    for pieces in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        got = await outcome(pieces, ends=False)
        assert got == Outcome(200, ((b"transfer-encoding", b"chunked"),), b"ok", "", again=True)


def run(coroutine: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Run in a loop of its own: a property is no coroutine."""
    return asyncio.run(coroutine)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Cut bytes at these places."""
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[a:b] for a, b in pairwise(places)]


PLACES = st.lists(st.integers(0, 10_000), max_size=12)
TOKEN = (
    st.text("abcxyz-_0189", min_size=1, max_size=8).map(str.encode).filter(lambda name: not name.isdigit())
)
VALUE = st.text("".join(map(chr, range(33, 127))) + "\xe9", max_size=12).map(
    lambda text: text.encode("latin-1")
)


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, Outcome]:
    """Draw a proper answer, and what should become of it when the upstream stays."""
    status = draw(st.sampled_from([200, 201, 400, 404, 429, 500, 503, 599]))
    headers = [(b"x-" + name, value) for name, value in draw(st.lists(st.tuples(TOKEN, VALUE), max_size=4))]
    body = draw(st.binary(max_size=60))
    if draw(st.booleans()):
        headers.append((b"content-length", b"%d" % len(body)))
        framed = body
    else:
        headers.append((b"transfer-encoding", b"chunked"))
        parts = [part for part in cut(body, draw(PLACES)) if part]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"]))
    rows = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    raw = interim + b"HTTP/1.1 %d X\r\n" % status + rows + b"\r\n" + framed
    return raw, Outcome(status, tuple(headers), body, "", again=True)


@settings(deadline=None)
@given(answers(), PLACES)
def test_every_split_gives_the_same_answer(answer: tuple[bytes, Outcome], at: list[int]) -> None:
    """Status, headers, body, and the connection's next use."""
    raw, expected = answer
    assert run(outcome(cut(raw, at), ends=False)) == expected


@settings(deadline=None)
@given(answers(), PLACES, st.integers(0, 10_000))
def test_an_answer_cut_short_is_never_whole(answer: tuple[bytes, Outcome], at: list[int], end: int) -> None:
    """Its bytes so far arrive, then a fault; the connection is not used again."""
    raw, expected = answer
    short = raw[: end % len(raw)]
    got = run(outcome(cut(short, at)))
    assert got.fault == "upstream_reset"
    assert not got.again
    assert expected.body.startswith(got.body)


MUTATIONS = st.lists(
    st.tuples(
        st.integers(0, 10_000), st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\0", b":", b"0", b"9"])
    ),
    min_size=1,
    max_size=3,
)


def mutated(raw: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    """Replace single bytes by others, by several, or by nothing."""
    for place, new in changes:
        at = place % (len(raw) + 1)
        raw = raw[:at] + new + raw[at + 1 :]
    return raw


def read_by_another(raw: bytes) -> tuple[int, bytes] | None:
    """Return status and body as another strict reader finds them with nothing left over, None where it does not."""
    other = h11.Connection(h11.CLIENT)
    other.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    other.send(h11.EndOfMessage())
    other.receive_data(raw)
    status, body = 0, b""
    try:
        while True:
            event = other.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return None if other.trailing_data[0] else (status, body)
            elif event is h11.NEED_DATA or event is h11.PAUSED:
                return None
    except h11.RemoteProtocolError:
        return None


def hold_for_any_bytes(raw: bytes, at: list[int]) -> None:
    """Assert what holds for an answer of any bytes: an end or a named fault, and no byte kept for somebody else."""
    got = run(outcome(cut(raw, at)))
    assert got.fault in FAULTS | {""}
    staying = run(outcome([*cut(raw, at)], ends=False)) if not got.fault else got
    if staying.again:
        found = read_by_another(raw)
        assert found in {None, (staying.status, staying.body)}
        # Whatever another reader says, nothing was left behind for the next request.
        assert run(outcome([raw + b"x"], ends=False)).again is False


@settings(deadline=None)
@given(answers(), MUTATIONS, PLACES)
def test_a_damaged_answer_is_a_fault_or_an_answer(
    answer: tuple[bytes, Outcome], changes: list[tuple[int, bytes]], at: list[int]
) -> None:
    """It never hangs, and never leaves bytes on a connection that is used again."""
    hold_for_any_bytes(mutated(answer[0], changes), at)


@settings(deadline=None)
@given(st.binary(max_size=120), PLACES)
def test_any_bytes_are_a_fault_or_an_answer(raw: bytes, at: list[int]) -> None:
    """So do bytes that were never an answer, with and without a status line before them."""
    hold_for_any_bytes(raw, at)
    hold_for_any_bytes(OK + raw, at)


@settings(deadline=None)
@given(answers(), answers(), PLACES)
def test_a_second_answer_is_nobodys(
    first: tuple[bytes, Outcome], second: tuple[bytes, Outcome], at: list[int]
) -> None:
    """The first may arrive or be lost with it; the second never does, and the connection ends."""
    raw, expected = first
    got = run(outcome(cut(raw + second[0], at), ends=False))
    assert not got.again
    assert got.body in {expected.body, b""} or (got.fault and expected.body.startswith(got.body))
