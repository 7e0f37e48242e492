"""Streams: nothing is held back, on either side."""

from __future__ import annotations

import statistics
import threading
import time

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import ANSWER, LAST_CHUNK, Message, Wire, chunk, response, stream_head

JSON = b"content-type: application/json"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n'


@pytest.mark.parametrize("first", [b"d", EVENT % 0], ids=["one_byte", "an_event"])
def test_f30_head_and_first_chunk_go_out_at_once(site: Site, first: bytes) -> None:
    """The head arrives while the upstream has sent nothing else, the first chunk while there is no second."""
    go = threading.Event()

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(stream_head())
        assert go.wait(5.0)
        go.clear()
        wire.send(chunk(first))
        assert go.wait(5.0)
        wire.send(LAST_CHUNK)

    site.upstream.start(script)
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True)))
    began = time.monotonic()
    head = wire.head()
    assert time.monotonic() - began < 1.0
    go.set()
    parts = wire.parts(head)
    assert next(parts) == first
    assert time.monotonic() - began < 1.5
    go.set()
    assert list(parts) == []


KINDS = [b"text/event-stream; charset=utf-8", b"application/x-ndjson", b"application/json", b"audio/mpeg"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.split(b";")[0].decode())
def test_f31_streams_are_not_buffered(site: Site, kind: bytes) -> None:
    """Each of ten parts arrives before the upstream sends the next, whatever the answer calls itself."""
    go = threading.Semaphore(0)

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        rows = (b"HTTP/1.1 200 OK", b"content-type: " + kind, b"transfer-encoding: chunked", b"", b"")
        wire.send(b"\r\n".join(rows))
        for i in range(10):
            assert go.acquire(timeout=5.0)
            wire.send(chunk(EVENT % i))
        wire.send(LAST_CHUNK)

    site.upstream.start(script)
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True)))
    parts = wire.parts(wire.head())
    for i in range(10):
        go.release()
        assert next(parts) == EVENT % i
    assert list(parts) == []


def test_f33_small_writes_are_not_delayed(site: Site) -> None:
    """Requests and answers in two small writes take no 40 ms: neither side waits for more to send."""

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        whole = response(ANSWER, JSON)
        wire.send(whole[:-20], whole[-20:])

    site.upstream.start(script)
    wire = site.connect()
    took = []
    for _ in range(15):
        request = site.posting(site.chat())
        began = time.monotonic()
        wire.send(request[:-20], request[-20:])
        assert wire.message().status == 200
        took.append(time.monotonic() - began)
    assert statistics.median(took) < 0.03
