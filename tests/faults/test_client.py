"""Clients that leave, stop reading, send slowly, send too much at once or try to smuggle: what it costs, and the counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.conformance.site import Site
from tests.conformance.upstream import answering
from tests.conformance.wire import (
    ANSWER,
    LAST_CHUNK,
    TIMEOUT_S,
    Message,
    Wire,
    chunk,
    response,
    stream_head,
    until,
)
from tests.faults.counting import Counted

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
JSON = b"content-type: application/json"
MB = 1024 * 1024


class Waiting:
    """An upstream that sends so much, then waits until the proxy hangs up."""

    def __init__(self, sent: bytes = b"") -> None:
        self.sent = sent
        self.began = threading.Event()
        self.ended = threading.Event()

    def __call__(self, head: Message, wire: Wire) -> None:
        """Serve."""
        wire.body(head)
        wire.send(self.sent)
        self.began.set()
        if wire.gone(TIMEOUT_S):
            self.ended.set()
        wire.close()


class Phase(NamedTuple):
    """How far an answer had come when its client left: what was sent of it, what the client awaited, the phase's name."""

    sent: bytes
    awaited: bytes
    name: str


@pytest.mark.parametrize("how", [Wire.close, Wire.reset], ids=["fin", "rst"])
@pytest.mark.parametrize(
    "phase",
    [
        Phase(b"", b"", "before_head"),
        Phase(stream_head(), b"\r\n\r\n", "before_body"),
        Phase(stream_head() + chunk(EVENT), EVENT, "mid_stream"),
    ],
    ids=["before_headers", "before_the_first_token", "mid_stream"],
)
def test_leaving(site: Site, counted: Counted, phase: Phase, how: Callable[[Wire], None]) -> None:
    """The upstream's work ends at once; the exchange is mirrored as incomplete, counted by its phase."""
    waiting = Waiting(phase.sent)
    site.upstream.start(waiting)
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True)))
    assert waiting.began.wait(5.0)
    if phase.awaited:
        wire.until(phase.awaited)
    how(wire)
    assert waiting.ended.wait(3.0), "the upstream goes on for nobody"
    (exchange,) = counted.exchanges()
    assert (exchange.complete, exchange.error) == (False, "client_left")
    assert (exchange.response or "") == ("hi" if EVENT in phase.sent else "")
    assert counted.left() == {phase.name: 1}
    assert counted.check()["partial"] == 1


def test_leaving_mid_upload(site: Site, counted: Counted) -> None:
    """Half a body: the upstream does not see a whole request, and the exchange is still counted once."""
    ended = threading.Event()

    def script(head: Message, wire: Wire) -> None:
        assert wire.body(head).end != "whole"
        ended.set()

    site.upstream.start(script)
    wire = site.connect()
    wire.send(site.posting(site.chat() + b" " * 500_000)[:-1000])
    time.sleep(0.1)
    wire.close()
    assert ended.wait(2.0)
    assert counted.check()["received"] == 1


class Flood:
    """An upstream that sends 192 MB as fast as it may, as a whole answer or as a stream."""

    whole = 192 * MB

    def __init__(self, *, streams: bool) -> None:
        self.sent = 0
        self._streams = streams
        self._block = b"data: " + b"x" * (256 * 1024 - 8) + b"\n\n"

    def __call__(self, head: Message, wire: Wire) -> None:
        """Serve."""
        wire.body(head)
        length = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % self.whole
        wire.send(stream_head() if self._streams else length)
        # The test pauses for longer than a wire's usual patience.
        wire.sock.settimeout(30.0)
        while self.sent < self.whole:
            wire.send(chunk(self._block) if self._streams else self._block)
            self.sent += len(self._block)
        if self._streams:
            wire.send(LAST_CHUNK)

    def stands(self) -> int:
        """Return what has been sent if nothing more is; nothing while something is."""
        before = self.sent
        time.sleep(0.4)
        return before if self.sent == before else 0


@pytest.mark.parametrize("end", ["reads_on", "leaves"])
@pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
def test_a_client_that_stops_reading(site: Site, counted: Counted, streams: bool, end: str) -> None:  # noqa: FBT001 - a parameter
    """The upstream is held back after a few megabytes and memory is bounded; reading again brings the rest, whole."""
    site.upstream.start(flood := Flood(streams=streams))
    before = site.rss_mb()
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=streams)))
    head = wire.head()
    stood = until(flood.stands)
    # What the systems' buffers between the three hold (Linux lets each grow to 38 MB); the rest is still upstream.
    assert stood < flood.whole / 2
    assert site.rss_mb() - before < 12
    time.sleep(0.5)
    assert flood.sent == stood
    if end == "reads_on":
        assert sum(map(len, wire.parts(head))) == flood.whole
        assert counted.check()["dropped"] == {"too_large": 1}
    else:
        wire.reset()
        assert counted.check()["received"] == 1
        assert counted.left() == {"mid_stream": 1}
        assert flood.sent <= stood + 2 * MB


def test_a_slow_upload(site: Site, counted: Counted) -> None:
    """A body that comes in crumbs reaches the upstream whole, others are served meanwhile, and all are counted."""
    site.upstream.start(answering(site.upstream, response(ANSWER, JSON)))
    body = site.chat(padding="x" * 400)
    request = site.posting(body)
    wire = site.connect()
    wire.send(request[:-400])
    for at in range(len(request) - 400, len(request), 20):
        wire.send(request[at : at + 20])
        time.sleep(0.03)
        if at % 5 == 0:
            assert site.post(site.chat()).status == 200
    assert wire.message().status == 200
    assert [asked.body for asked in site.upstream.asked].count(body) == 1
    exchanges = counted.exchanges()
    assert {(each.complete, each.error) for each in exchanges} == {(True, None)}
    assert len(exchanges) == len(site.upstream.asked)


def test_pipelining(site: Site, counted: Counted) -> None:
    """Five requests in one write: five answers in the same order, each counted; the upstream sees one at a time."""

    def script(head: Message, wire: Wire) -> None:
        asked = wire.body(head)
        site.upstream.asked.append(asked)
        wire.send(response(asked.body, JSON))

    site.upstream.start(script)
    bodies = [site.chat(user=f"u{number}") for number in range(5)]
    wire = site.connect()
    wire.send(b"".join(site.posting(body) for body in bodies))
    assert [wire.message().body for _ in bodies] == bodies
    assert [asked.body for asked in site.upstream.asked] == bodies
    assert counted.check()["received"] == 5


def test_pipelining_and_leaving(site: Site, counted: Counted) -> None:
    """Five requests in one write and gone: what has been begun is counted, what has not is nobody's."""
    waiting = Waiting()
    site.upstream.start(waiting)
    wire = site.connect()
    wire.send(site.posting(site.chat()) * 5)
    assert waiting.began.wait(5.0)
    wire.reset()
    assert waiting.ended.wait(2.0)
    assert counted.check()["received"] == 1


SMUGGLED = b"GET /v1/admin HTTP/1.1\r\nhost: victim\r\n\r\n"
ATTEMPTS = {
    "length_and_chunked": (b"content-length: 4", b"transfer-encoding: chunked"),
    "chunked_and_length": (b"transfer-encoding: chunked", b"content-length: 4"),
    "two_lengths": (b"content-length: 4", b"content-length: 60"),
    "two_equal_lengths_in_one": (b"content-length: 4, 60",),
    "signed_length": (b"content-length: +4",),
    "hexadecimal_length": (b"content-length: 0x4",),
    "folded_header": (b"x-one: 1\r\n content-length: 60", b"content-length: 4"),
    "folded_coding": (b"transfer-encoding:\r\n chunked", b"content-length: 4"),
    "bare_lf": (b"x-one: 1\ncontent-length: 60", b"content-length: 4"),
    "bare_cr": (b"x-one: 1\rcontent-length: 60", b"content-length: 4"),
    "space_before_colon": (b"transfer-encoding : chunked", b"content-length: 4"),
    "unknown_coding": (b"transfer-encoding: xchunked", b"content-length: 4"),
    "coding_twice": (b"transfer-encoding: chunked, identity",),
    "nul_in_header": (b"x-one: \x00", b"content-length: 4"),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_smuggling(site: Site, counted: Counted, attempt: str) -> None:
    """Refused with a 4xx, the connection closed, and the upstream sees nothing; what cannot be framed was never received."""
    seen: list[Message] = []

    def script(head: Message, wire: Wire) -> None:
        seen.append(wire.body(head))
        wire.send(response(ANSWER, JSON))

    site.upstream.start(script)
    wire = site.connect()
    body = b"0\r\n\r\n" + SMUGGLED
    wire.send(site.head(b"POST", b"/chat/completions", JSON, *ATTEMPTS[attempt]) + body)
    got = wire.message()
    assert 400 <= got.status < 500
    assert wire.gone(2.0)
    assert seen == []
    assert site.post(site.chat()).status == 200
    assert [asked.line for asked in seen] == [b"POST /v1/chat/completions HTTP/1.1"]
    assert counted.check()["received"] == 1
