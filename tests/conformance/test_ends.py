"""How exchanges end: upstream faults, clients that leave, connections that went stale or out of step."""

from __future__ import annotations

import json
import threading
import time

import pytest

from tests.conformance.site import READ_S, Site
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

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'


def own_fault(got: Message, code: str) -> None:
    """Assert a 502, 503 or 504 in OpenAI's shape, marked as made by the proxy."""
    assert got.status in {502, 503, 504}
    error = json.loads(got.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert got.values(b"drift-error") == [code.encode()]


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200", b"SSH-2.0-OpenSSH_9\r\n\r\n"], ids=["nothing", "half", "garbage"]
)
def test_f23_own_faults_are_5xx_in_openai_shape(site: Site, sent: bytes) -> None:
    """An upstream that resets, breaks off in its head or does not speak HTTP: 502, never 400, never a dead socket."""

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(sent)
        wire.close()

    site.upstream.start(script)
    got = site.post(site.chat())
    assert got.status in {502, 503, 504}
    assert "error" in json.loads(got.body)
    if site.ours:
        own_fault(got, "upstream_garbage" if sent.startswith(b"SSH") else "upstream_reset")


def test_f23_refused_upstream_is_5xx(site: Site) -> None:
    """Nobody listens at the upstream's address."""
    site.upstream.shut()
    try:
        time.sleep(0.05)
        got = site.post(site.chat())
    finally:
        site.upstream.open()
    assert got.status in {502, 503, 504}
    assert "error" in json.loads(got.body)
    if site.ours:
        own_fault(got, "upstream_refused")


@pytest.mark.parametrize("how", ["rst", "fin", "short_length", "half_chunk"])
def test_f24_upstream_abort_stays_an_abort(site: Site, how: str) -> None:
    """After what had come, the client's connection breaks: no last chunk, no `[DONE]`, no `stop`."""

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        if how == "short_length":
            wire.send(response(EVENT + b"x" * 9, b"content-type: text/event-stream")[:-9])
        else:
            wire.send(stream_head(), chunk(EVENT))
        if how == "half_chunk":
            wire.send(b"100\r\ndata")
        wire.flushed()
        time.sleep(0.05)
        if how == "rst":
            wire.reset()
        else:
            wire.close()

    site.upstream.start(script)
    got = site.post(site.chat(stream=True))
    assert got.status == 200
    assert got.end in {"short", "reset"}
    assert got.body == EVENT + (b"data" if how == "half_chunk" and len(got.body) > len(EVENT) else b"")


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize("slow", [False, True], ids=["quick_client", "slow_client"])
def test_f25_every_byte_before_the_abort_arrives(site: Site, how: str, slow: bool) -> None:  # noqa: FBT001 - a parameter
    """Three megabytes, then the upstream breaks off at once: all of them arrive, then the client's connection breaks."""
    events = [b"data: %07d %s\n\n" % (i, b"x" * 1000) for i in range(3000)]

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(stream_head())
        for at in range(0, len(events), 100):
            wire.send(b"".join(chunk(event) for event in events[at : at + 100]))
        # A reset throws away what the sender's own system still holds.
        wire.flushed()
        if how == "rst":
            wire.reset()
        else:
            wire.close()

    site.upstream.start(script)
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True)))
    head = wire.head()
    if slow:
        time.sleep(0.3)
    got = wire.body(head)
    wire.close()
    assert len(got.body) == sum(map(len, events))
    assert got.body == b"".join(events)
    assert got.end in {"short", "reset"}


class Waiting:
    """An upstream that sends so much and then waits for the proxy to hang up."""

    def __init__(self, sent: bytes = b"") -> None:
        self.sent = sent
        self.began = threading.Event()
        self.ended = threading.Event()
        self.at = 0.0

    def __call__(self, head: Message, wire: Wire) -> None:
        """Serve."""
        wire.body(head)
        if self.sent:
            wire.send(self.sent)
        self.began.set()
        if wire.gone(TIMEOUT_S):
            self.at = time.monotonic()
            self.ended.set()
        wire.close()


def leave(site: Site, wire: Wire, waiting: Waiting, how: str) -> None:
    """Leave, and assert that the upstream's connection ended within a second."""
    left = time.monotonic()
    if how == "rst":
        wire.reset()
    else:
        wire.close()
    assert waiting.ended.wait(3.0), "the upstream goes on for nobody"
    assert waiting.at - left < 1.0
    if site.ours:
        assert site.settled()["requests"]["in_flight"] == 0


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_f26_leaving_mid_stream_cancels_the_upstream(site: Site, how: str) -> None:
    """The client leaves in the middle of a stream."""
    waiting = Waiting(stream_head() + chunk(EVENT))
    site.upstream.start(waiting)
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True)))
    wire.until(EVENT)
    leave(site, wire, waiting, how)


def test_f26_leaving_while_the_upstream_floods(site: Site) -> None:
    """The client stops reading a stream that never ends, then leaves: back-pressure must not hide its leaving."""
    ended = threading.Event()

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(stream_head())
        try:
            while True:
                wire.send(chunk(EVENT * 500))
        except OSError:
            ended.set()

    site.upstream.start(script)
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True)))
    wire.until(EVENT)
    time.sleep(0.3)
    wire.close()
    assert ended.wait(2.0)


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("sent", [b"", stream_head()], ids=["before_head", "before_first_token"])
def test_f27_leaving_before_the_first_token_cancels_the_upstream(site: Site, sent: bytes, how: str) -> None:
    """The client of a stream leaves before its head, or between its head and its first byte."""
    waiting = Waiting(sent)
    site.upstream.start(waiting)
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True)))
    assert waiting.began.wait(5.0)
    if sent:
        wire.head()
    leave(site, wire, waiting, how)


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_f28_leaving_a_call_that_does_not_stream_cancels_the_upstream(site: Site, how: str) -> None:
    """The client of a plain call leaves while it waits."""
    waiting = Waiting()
    site.upstream.start(waiting)
    wire = site.connect()
    wire.send(site.posting(site.chat()))
    assert waiting.began.wait(5.0)
    leave(site, wire, waiting, how)


def test_f28_leaving_mid_upload_cancels_the_upstream(site: Site) -> None:
    """The client leaves in the middle of its own body; the upstream does not see a whole request."""
    ended = threading.Event()

    def script(head: Message, wire: Wire) -> None:
        assert wire.body(head).end != "whole"
        ended.set()

    site.upstream.start(script)
    wire = site.connect()
    wire.send(site.posting(site.chat() + b" " * 500_000)[:-1000])
    time.sleep(0.1)
    wire.close()
    if not ended.wait(1.5):
        # A proxy that waits for the whole body has nothing to cancel.
        assert not site.ours
        assert site.upstream.connections == 0


@pytest.mark.ours("reads our counters")
def test_f29_counts_in_flight_fall_on_cancel_and_error(site: Site) -> None:
    """After cancels, resets and errors no request is counted as running, and each is counted once."""
    before = site.settled()["requests"]
    for sent in (b"", stream_head(), stream_head() + chunk(EVENT)):
        waiting = Waiting(sent)
        site.upstream.start(waiting)
        wire = site.connect()
        wire.send(site.posting(site.chat(stream=True)))
        assert waiting.began.wait(5.0)
        time.sleep(0.05)
        wire.close()
    site.upstream.start(lambda _, wire: wire.reset())
    site.post(site.chat())
    site.upstream.start(response(b"{}", status=b"500 Oops"))
    site.post(site.chat())
    after = site.settled()["requests"]
    assert after["in_flight"] == 0
    assert after["received"] - before["received"] == 5
    assert sum(after["clients_left"].values()) - sum(before["clients_left"].values()) == 3


def test_f35_a_hung_backend_leaves_others_alone(site: Site) -> None:
    """Fifty requests hang; others are served at once. Ours gives the hung ones up, as a 504."""

    def script(head: Message, wire: Wire) -> None:
        asked = wire.body(head)
        if b"hang" in asked.body:
            wire.gone(TIMEOUT_S)
        else:
            wire.send(response(ANSWER, b"content-type: application/json"))

    site.upstream.start(script)
    hung = [site.connect() for _ in range(50)]
    for wire in hung:
        wire.send(site.posting(site.chat(user="hang")))
    began = time.monotonic()
    for _ in range(20):
        assert site.post(site.chat()).status == 200
    assert time.monotonic() - began < 2.0
    if site.ours:
        for wire in hung:
            own_fault(wire.message(), "upstream_timeout")
        assert time.monotonic() - began < READ_S + 2.0
    for wire in hung:
        wire.close()


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("pause_s", [0.0, 0.02], ids=["at_once", "a_moment_later"])
def test_f37_a_stale_connection_causes_no_fault(site: Site, how: str, pause_s: float) -> None:
    """An upstream that closes each connection after its answer, without saying so: never a 5xx, nothing twice."""
    answer = answering(site.upstream, response(ANSWER, b"content-type: application/json"))
    closed = threading.Semaphore(0)

    def script(head: Message, wire: Wire) -> None:
        answer(head, wire)
        wire.flushed()
        if how == "rst":
            wire.reset()
        else:
            wire.close()
        closed.release()

    site.upstream.start(script)
    wire = site.connect()
    for _ in range(20):
        wire.send(site.posting(site.chat()))
        assert wire.message().status == 200
        assert closed.acquire(timeout=TIMEOUT_S)
        # Closed before the next request is sent: what crosses on the way is the next test's.
        time.sleep(pause_s + 0.003)
    wire.close()
    assert len(site.upstream.asked) == 20


def test_f37_a_request_that_was_sent_is_not_sent_again(site: Site) -> None:
    """A kept connection dies once a POST is on it: the upstream may have acted, so nothing is replayed."""
    seen = []

    def script(head: Message, wire: Wire) -> None:
        asked = wire.body(head)
        seen.append(asked)
        if b"second" in asked.body:
            wire.close()
        else:
            wire.send(response(ANSWER, b"content-type: application/json"))

    site.upstream.start(script)
    assert site.post(site.chat(user="first")).status == 200
    assert site.post(site.chat(user="second")).status in {502, 503, 504}
    assert len(seen) == 2


@pytest.mark.parametrize(
    "extra", [b"leftover", response(b"evil"), b"0\r\n\r\n"], ids=["bytes", "second_answer", "last_chunk"]
)
@pytest.mark.parametrize("late", [False, True], ids=["at_once", "late"])
def test_f38_a_desynchronised_connection_is_not_used_again(site: Site, extra: bytes, late: bool) -> None:  # noqa: FBT001 - a parameter
    """An upstream that sends more than its answer: the next client gets its own answer, not the rest."""

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        if late:
            wire.send(response(ANSWER))
            time.sleep(0.02)
            wire.send(extra)
        else:
            wire.send(response(ANSWER) + extra)

    site.upstream.start(script)
    for _ in range(4):
        got = site.post(site.chat())
        # What is no HTTP in the very packet of the answer may cost the answer, but is nobody else's.
        assert (got.status, got.body) == (200, ANSWER) or got.status == 502
        assert late is False or got.status == 200
        time.sleep(0.05)
    site.upstream.start(response(b'{"mine":1}'))
    assert site.post(site.chat()).body == b'{"mine":1}'


@pytest.mark.ours("reads our bus")
@pytest.mark.modes("on")
def test_f51_cut_streams_are_mirrored_as_partial(site: Site) -> None:
    """A stream that the upstream resets and one that the client leaves are flagged, with their reason."""

    def resetting(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(stream_head(), chunk(EVENT))
        wire.flushed()
        time.sleep(0.05)
        wire.reset()

    site.upstream.start(resetting)
    exchange = site.exchange(site.post(site.chat(stream=True)))
    assert (exchange.response, exchange.complete, exchange.error) == ("hi", False, "upstream_reset")
    site.upstream.start(Waiting(stream_head() + chunk(EVENT)))
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True)))
    head = wire.head()
    wire.until(EVENT)
    wire.close()
    exchange = site.exchange(head)
    assert (exchange.response, exchange.complete, exchange.error) == ("hi", False, "client_left")


@pytest.mark.ours("reads our bus")
@pytest.mark.modes("on")
def test_f51_a_stream_that_ends_without_its_done_is_partial(site: Site) -> None:
    """A proper end of HTTP without the stream's own end is not a whole answer."""
    site.upstream.start(stream_head() + chunk(EVENT) + LAST_CHUNK)
    exchange = site.exchange(site.post(site.chat(stream=True)))
    assert (exchange.complete, exchange.error) == (False, "stream_truncated")
    assert until(lambda: site.status()["mirror"]["partial"])
