"""Upstreams that fail in every way: what the client sees, what is mirrored, and the counts."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import pytest

from monitor.contract import Exchange
from tests.conformance.site import READ_S, Site
from tests.conformance.upstream import Upstream
from tests.conformance.wire import LAST_CHUNK, Message, Wire, chunk, response, stream_head, until
from tests.faults.counting import Counted

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
DONE = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
MB = 1024 * 1024
Behaviour = Callable[[Wire], None]


def after_request(behave: Behaviour) -> Callable[[Message, Wire], None]:
    """Make a script that reads a whole request and then behaves so."""

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        behave(wire)

    return script


def sending(*parts: bytes, then: Behaviour = Wire.reset) -> Behaviour:
    """Send, let it arrive, and then end in some way."""

    def behave(wire: Wire) -> None:
        for part in parts:
            wire.send(part)
        wire.flushed()
        time.sleep(0.05)
        then(wire)

    return behave


def hanging(wire: Wire) -> None:
    """Say nothing until the proxy has hung up."""
    assert wire.gone(READ_S + 4.0)


def one_of(counted: Counted) -> Exchange:
    """Return the one exchange that came of it all."""
    (exchange,) = counted.exchanges()
    return exchange


def fault_of(got: Message) -> str:
    """Return the code of a fault in OpenAI's shape, as the proxy marks its own."""
    (code,) = got.values(b"drift-error")
    assert json.loads(got.body)["error"]["code"] == code.decode()
    return code.decode()


@pytest.mark.parametrize(
    ("behave", "status", "code"),
    [
        (Wire.reset, 502, "upstream_reset"),
        (Wire.close, 502, "upstream_reset"),
        (sending(b"HTTP/1.1 200 OK\r\ncontent-le"), 502, "upstream_reset"),
        (sending(b"\x16\x03\x01 garbage \x00\xff\r\n\r\n"), 502, "upstream_garbage"),
        (sending(b"HTTP/1.1 200 OK\r\ncontent-length: banana\r\n\r\n{}"), 502, "upstream_garbage"),
        (hanging, 504, "upstream_timeout"),
    ],
    ids=["resets", "closes", "resets_within_the_head", "garbage", "garbage_length", "hangs"],
)
def test_before_the_head_it_is_a_fault_of_ours(
    site: Site, counted: Counted, behave: Behaviour, status: int, code: str
) -> None:
    """The client gets a whole 502 or 504 in OpenAI's shape; the exchange is mirrored with its error."""
    site.upstream.start(after_request(behave))
    got = site.post(site.chat())
    assert (got.status, fault_of(got), got.end) == (status, code, "whole")
    exchange = one_of(counted)
    assert (exchange.complete, exchange.error, exchange.status) == (False, code, status)
    assert counted.faults() == {code: 1}


def test_refused(site: Site, counted: Counted) -> None:
    """Nobody listens; once somebody does, the next request is served."""
    site.upstream.shut()
    try:
        got = until(lambda: _refused(site))
    finally:
        site.upstream.open()
    assert fault_of(got) == "upstream_refused"
    assert site.post(site.chat()).status == 200
    assert [each.error for each in counted.exchanges()][-2:] == ["upstream_refused", None]
    assert counted.faults()["upstream_refused"] == 1


def _refused(site: Site) -> Message | None:
    # Connections that were open before may be found out of use first.
    got = site.post(site.chat())
    return got if fault_of(got) == "upstream_refused" else None


class Broken(NamedTuple):
    """An answer that breaks off: what is sent, what of it arrives, and why."""

    sent: list[bytes]
    arrives: bytes
    error: str


@pytest.mark.parametrize("end", [Wire.reset, Wire.close], ids=["reset", "close"])
@pytest.mark.parametrize(
    "broken",
    [
        Broken([stream_head()], b"", "upstream_reset"),
        Broken([stream_head(), chunk(EVENT)], EVENT, "upstream_reset"),
        Broken([response(b"x" * 100)[:-60]], b"x" * 40, "upstream_reset"),
        Broken([stream_head(), chunk(EVENT), b"garbage\r\n"], EVENT, "upstream_garbage"),
    ],
    ids=["between_head_and_body", "mid_stream", "mid_body", "garbage_mid_stream"],
)
def test_after_the_head_the_clients_answer_breaks_off(
    site: Site, counted: Counted, broken: Broken, end: Behaviour
) -> None:
    """What came arrives, then the connection breaks; the exchange is mirrored as incomplete, with the reason."""
    site.upstream.start(after_request(sending(*broken.sent, then=end)))
    got = site.post(site.chat(stream=True))
    assert (got.status, got.body) == (200, broken.arrives)
    assert got.end in {"short", "reset"}
    exchange = one_of(counted)
    assert (exchange.complete, exchange.error) == (False, broken.error)


def test_silent_mid_stream(site: Site, counted: Counted) -> None:
    """After `read_s` of silence the stream is broken off, not ended."""
    site.upstream.start(after_request(sending(stream_head(), chunk(EVENT), then=hanging)))
    got = site.post(site.chat(stream=True))
    assert got.body == EVENT
    assert got.end in {"short", "reset"}
    assert one_of(counted).error == "upstream_timeout"


def test_one_byte_a_second(site: Site, counted: Counted) -> None:
    """Each byte passes when it comes, the clock of silence starts anew with each, and others are served meanwhile."""

    def drip(wire: Wire) -> None:
        wire.send(stream_head(), chunk(EVENT + DONE[:-4]))
        for byte in DONE[-4:]:
            time.sleep(1.0)
            wire.send_chunk(bytes([byte]))
        wire.send(LAST_CHUNK)

    site.upstream.start(after_request(drip))
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True)))
    at, bodies = [], []
    for part in wire.parts(wire.head()):
        at.append(time.monotonic())
        bodies.append(part)
        site.upstream.script = _answering(site.upstream)
        assert site.post(site.chat()).status == 200
    assert b"".join(bodies) == EVENT + DONE
    assert all(0.3 < later - earlier < READ_S for earlier, later in pairwise(at))
    assert [each.complete for each in counted.exchanges()] == [True] * (1 + len(at))


def _answering(upstream: Upstream) -> Callable[[Message, Wire], None]:
    def script(head: Message, wire: Wire) -> None:
        upstream.asked.append(wire.body(head))
        wire.send(response(b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}'))

    return script


@pytest.mark.parametrize("coding", [b"gzip", b"identity"])
def test_garbage_for_a_body_passes_as_it_is(site: Site, counted: Counted, coding: bytes) -> None:
    """It is the client's to judge; the monitor is told that nothing could be made of it."""
    garbage = os.urandom(1000)
    site.upstream.start(response(garbage, b"content-encoding: " + coding, b"content-type: application/json"))
    assert site.post(site.chat()).body == garbage
    assert one_of(counted).error == ("coding_damaged" if coding == b"gzip" else "response_malformed")


@pytest.mark.parametrize("framing", ["length", "chunked", "until_close"])
def test_a_hundred_megabytes(site: Site, counted: Counted, framing: str) -> None:
    """All of them arrive, unchanged; the worker's memory does not hold them, nor does the mirror."""
    block = os.urandom(MB)
    heads = {
        "length": b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (100 * MB),
        "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "until_close": b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
    }

    def flood(wire: Wire) -> None:
        wire.send(heads[framing])
        for _ in range(100):
            wire.send(chunk(block) if framing == "chunked" else block)
        if framing == "chunked":
            wire.send(LAST_CHUNK)
        elif framing == "until_close":
            wire.close()

    site.upstream.start(after_request(flood))
    before, most = site.rss_mb(), 0.0
    wire = site.connect()
    wire.send(site.posting(site.chat()))
    got, size = hashlib.sha256(), 0
    for part in wire.parts(wire.head()):
        got.update(part)
        if size // MB % 10 == 0:
            most = max(most, site.rss_mb())
        size += len(part)
    assert size == 100 * MB
    assert got.digest() == hashlib.sha256(block * 100).digest()
    assert most - before < 16
    assert counted.check()["dropped"] == {"too_large": 1}


def test_a_head_without_end(site: Site, counted: Counted) -> None:
    """A hundred megabytes of one header are not collected: a 502 long before, and the connection is closed."""
    sent = 0

    def flood(wire: Wire) -> None:
        nonlocal sent
        wire.send(b"HTTP/1.1 200 OK\r\nx-endless: ")
        for _ in range(100):
            wire.send(b"x" * MB)
            sent += 1

    site.upstream.start(after_request(flood))
    before = site.rss_mb()
    got = site.post(site.chat())
    assert (got.status, fault_of(got)) == (502, "upstream_garbage")
    assert sent < 20
    assert site.rss_mb() - before < 16
    assert one_of(counted).error == "upstream_garbage"
