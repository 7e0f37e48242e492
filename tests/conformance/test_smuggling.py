"""Requests that two readers could understand differently, at the level of bytes, counted on both sides.

Law: one of the two readers is the upstream. Whatever a proxy makes of such bytes, what it forwards must be understood
in one way only, nobody may get an answer that was not made for them, and both sides must count the same requests.
Refusing is always right (RFC 9112 sections 2.2, 5, 6.3, 7.1; RFC 9110 section 7.8). Ours refuses all of them.
"""

from __future__ import annotations

import re
import socket
import threading
import time

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import ANSWER, LAST_CHUNK, TIMEOUT_S, Message, Wire, chunk, response, until

EVIL = b"GET /v1/evil HTTP/1.1\r\nhost: evil\r\n\r\n"
CHUNKS = chunk(b"{}") + LAST_CHUNK
CHUNKED = b"transfer-encoding: chunked"
# name -> (rows of the head, what follows it)
TWO_WAYS: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "length_and_chunks": ((b"content-length: 3", CHUNKED), LAST_CHUNK + EVIL),
    "chunks_and_length": ((CHUNKED, b"content-length: 3"), LAST_CHUNK + EVIL),
    "two_lengths": ((b"content-length: 2", b"content-length: 5"), b"{}" + EVIL),
    "two_equal_lengths": ((b"content-length: 2", b"content-length: 2"), b"{}"),
    "list_of_lengths": ((b"content-length: 2, 2",), b"{}"),
    "signed_length": ((b"content-length: +2",), b"{}"),
    "negative_length": ((b"content-length: -1",), b"{}"),
    "hex_length": ((b"content-length: 0x2",), b"{}"),
    "length_of_words": ((b"content-length: 2 2",), b"{}"),
    "endless_length": ((b"content-length: 18446744073709551618",), b"{}"),
    "empty_length": ((b"content-length:",), EVIL),
    "space_before_colon": ((b"content-length : 2",), b"{}"),
    "chunks_space_before_colon": ((b"transfer-encoding : chunked",), CHUNKS),
    "folded_length": ((b"content-length:\r\n 2",), b"{}"),
    "folded_chunks": ((b"transfer-encoding:\r\n chunked",), CHUNKS),
    "folded_header": ((b"x-a: b\r\n c: d", b"content-length: 2"), b"{}"),
    "space_before_header": ((b" x-a: b", b"content-length: 2"), b"{}"),
    "chunks_of_another_kind": ((b"transfer-encoding: xchunked",), CHUNKS),
    "chunks_not_last": ((b"transfer-encoding: chunked, identity",), CHUNKS),
    "chunks_twice": ((CHUNKED, CHUNKED), CHUNKS),
    "chunks_then_identity": ((CHUNKED, b"transfer-encoding: identity"), CHUNKS),
    "chunks_behind_a_control": ((b"transfer-encoding: \x0bchunked",), CHUNKS),
    "another_coding": ((b"transfer-encoding: gzip, chunked",), CHUNKS),
    "bare_lf_in_head": ((b"x-a: b\ncontent-length: 2",), b"{}"),
    "bare_cr_in_name": ((b"x-a: b\rcontent-length: 2",), b"{}"),
    "bare_cr_in_value": ((b"x-a: b\rc", b"content-length: 2"), b"{}"),
    "nul_in_value": ((b"x-a: b\0c", b"content-length: 2"), b"{}"),
    "no_name": ((b": b", b"content-length: 2"), b"{}"),
    "no_colon": ((b"x-a", b"content-length: 2"), b"{}"),
    "chunk_size_0x": ((CHUNKED,), b"0x2\r\n{}\r\n" + LAST_CHUNK),
    "chunk_size_signed": ((CHUNKED,), b"+2\r\n{}\r\n" + LAST_CHUNK),
    "chunk_size_space": ((CHUNKED,), b"2 \r\n{}\r\n" + LAST_CHUNK),
    "chunk_size_overflow": ((CHUNKED,), b"10000000000000002\r\n{}\r\n" + LAST_CHUNK),
    "chunk_size_lf": ((CHUNKED,), b"2\n{}\r\n" + LAST_CHUNK),
    "chunk_size_empty": ((CHUNKED,), b"\r\n{}\r\n" + LAST_CHUNK),
    "chunk_too_long": ((CHUNKED,), b"1\r\n{}\r\n" + LAST_CHUNK),
    "chunk_without_end": ((CHUNKED,), b"2\r\n{}" + LAST_CHUNK),
    "chunk_extension_lf": ((CHUNKED,), b"2;a\nb\r\n{}\r\n" + LAST_CHUNK),
    "last_chunk_lf": ((CHUNKED,), chunk(b"{}") + b"0\r\n\nGET /v1/evil HTTP/1.1\r\n\r\n"),
    "trailer_length": ((CHUNKED,), chunk(b"{}") + b"0\r\ncontent-length: 9\r\n\r\n"),
    "trailer_chunks": ((CHUNKED,), chunk(b"{}") + b"0\r\ntransfer-encoding: chunked\r\n\r\n"),
    "two_hosts": ((b"host: evil", b"content-length: 2"), b"{}"),
    "handshake_with_a_body": (
        (b"connection: upgrade", b"upgrade: websocket", b"content-length: %d" % len(EVIL)),
        EVIL,
    ),
}


class Upstream:
    """Answers whole requests as a model would, in words that name the request, and notes all, whole or not."""

    def __init__(self) -> None:
        self.asked: list[Message] = []
        self.heads = 0

    def __call__(self, head: Message, wire: Wire) -> None:
        """Serve a request."""
        self.heads += 1
        asked = wire.body(head)
        self.asked.append(asked)
        if asked.end != "whole":
            raise EOFError
        found = re.search(rb"next-\d", asked.body)
        named = ANSWER.replace(b"yes", found[0] if found else head.target)
        wire.send(response(named, b"content-type: application/json"))


def unambiguous(asked: Message) -> bool:
    """Tell whether every reader finds the same end of a request."""
    lengths, codings = asked.values(b"content-length"), asked.values(b"transfer-encoding")
    rows = [name + b":" + value for name, value in asked.headers]
    return (
        len(lengths) + len(codings) <= 1
        and all(re.fullmatch(rb"[0-9]{1,18}", length) for length in lengths)
        and all(coding.lower() == b"chunked" for coding in codings)
        and all(re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) for name, _ in asked.headers)
        and not any(set(row) & set(b"\r\n\0") for row in rows)
    )


def answers(wire: Wire) -> list[Message]:
    """Read answers until the connection ends or is silent."""
    got = []
    try:
        while not wire.silent(0.25):
            got.append(wire.message())
    except (EOFError, ConnectionResetError):
        pass
    return got


@pytest.mark.parametrize("kind", TWO_WAYS)
def test_f56_what_can_be_read_in_two_ways_is_read_in_one(site: Site, kind: str) -> None:
    """Both sides count the same requests, nothing is smuggled in, and the next client gets its own answer."""
    upstream = Upstream()
    site.upstream.start(upstream)
    rows, rest = TWO_WAYS[kind]
    wire = site.connect()
    wire.send(site.head(b"POST", b"/chat/completions", b"content-type: application/json", *rows) + rest)
    got = answers(wire)
    wire.close()
    whole = [asked for asked in upstream.asked if asked.end == "whole"]
    served = [answer for answer in got if answer.status == 200]
    assert len(served) == len(whole)
    assert not [asked for asked in whole if b"evil" in asked.target]
    assert all(unambiguous(asked) for asked in upstream.asked)
    if site.ours:
        assert [answer.status for answer in got] == [400]
        assert got[0].values(b"drift-error") == [b"malformed_request"]
        assert got[0].values(b"connection") == [b"close"]
        assert not whole
    for i in range(3):
        mine = b"next-%d" % i
        assert mine in site.post(site.chat().replace(b'"hi"', b'"%b"' % mine)).body


@pytest.mark.ours("that others pass trailers on is their right")
def test_f56_trailers_become_no_headers(site: Site) -> None:
    """A credential behind the body does not reach the upstream, in front of it or elsewhere."""
    upstream = Upstream()
    site.upstream.start(upstream)
    trailers = b"0\r\nauthorization: Bearer evil\r\nhost: evil\r\n\r\n"
    got = site.ask(site.head(b"POST", b"/first", CHUNKED) + chunk(b"{}") + trailers)
    assert got.status == 200
    assert upstream.asked[0].body == b"{}"
    assert not upstream.asked[0].values(b"authorization")


def test_f56_pipelined_requests_are_answered_in_order(site: Site) -> None:
    """Five in one packet, with and without bodies: five answers, each its own, in their order."""
    upstream = Upstream()
    site.upstream.start(upstream)
    wire = site.connect()
    wire.send(
        site.head(b"GET", b"/0")
        + site.posting(b'{"a":1}', path=b"/1")
        + site.head(b"POST", b"/2", CHUNKED)
        + CHUNKS
        + site.head(b"GET", b"/3")
        + site.posting(b"{}", path=b"/4")
    )
    bodies = [b"", b'{"a":1}', b"{}", b"", b"{}"]
    expected = [site.prefix + b"/%d" % i for i in range(len(bodies))]
    got = [wire.message() for _ in expected]
    wire.close()
    # Gateways that know few paths answer the others themselves: what they ask must still be what they answer.
    targets = [asked.target for asked in upstream.asked]
    served = [answer.body for answer in got if answer.status == 200]
    assert all(target in body for target, body in zip(targets, served, strict=True))
    if site.ours:
        assert targets == expected
        assert [asked.body for asked in upstream.asked] == bodies


def test_f56_what_follows_a_close_is_not_served(site: Site) -> None:
    """Behind a request that says `Connection: close` nothing is answered, however it was sent."""
    upstream = Upstream()
    site.upstream.start(upstream)
    wire = site.connect()
    wire.send(site.head(b"GET", b"/last", b"connection: close") + EVIL)
    got = answers(wire)
    assert len(got) == 1
    assert wire.gone(TIMEOUT_S)
    assert [asked.target for asked in upstream.asked] == [site.prefix + b"/last"] or not site.ours
    assert upstream.heads <= 1


def test_f56_what_follows_a_refused_handshake_keeps_its_order(site: Site) -> None:
    """More than a proxy keeps, then the rest of that body, which looks like a request: it stays a body."""
    asked, answered = threading.Event(), threading.Event()
    upstream = Upstream()

    def script(head: Message, wire: Wire) -> None:
        if head.values(b"upgrade"):
            asked.set()
            answered.wait(TIMEOUT_S)
            wire.send(response(b"no", status=b"401 Unauthorized"))
        else:
            upstream(head, wire)

    site.upstream.start(script)
    body = b"x" * 70_000
    asking = (b"connection: upgrade", b"upgrade: websocket", b"sec-websocket-version: 13")
    key = b"sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg=="
    wire = site.connect()
    wire.send(site.head(b"GET", b"/realtime", *asking, key))
    asked.wait(1.0)
    wire.send(site.head(b"POST", b"/x", b"content-length: %d" % len(body + EVIL)) + body)
    wire.flushed()
    # The proxy is to have read what it keeps, and to have stopped reading.
    time.sleep(0.2)
    wire.send(EVIL)
    wire.flushed()
    answered.set()
    got = answers(wire)
    wire.close()
    whole = [each for each in upstream.asked if each.end == "whole"]
    assert not [each for each in upstream.asked if b"evil" in each.target]
    assert all(each.body == body + EVIL for each in whole)
    if site.ours:
        assert [answer.status for answer in got] == [401, 200]
        assert len(whole) == 1


@pytest.mark.parametrize("form", ["absolute", "connect"])
def test_f57_the_upstream_is_not_the_clients_to_choose(site: Site, form: str) -> None:
    """A server that a client names in its request line is not asked; ours refuses such requests outright."""
    elsewhere = socket.create_server(("127.0.0.1", 0))
    named = b"127.0.0.1:%d" % elsewhere.getsockname()[1]
    upstream = Upstream()
    site.upstream.start(upstream)
    line = b"GET http://" + named + b"/v1/models" if form == "absolute" else b"CONNECT " + named
    wire = site.connect()
    wire.send(line + b" HTTP/1.1\r\nhost: " + named + b"\r\n\r\n")
    got = answers(wire)
    wire.close()
    elsewhere.settimeout(0.1)
    with pytest.raises(TimeoutError):
        elsewhere.accept()
    elsewhere.close()
    if site.ours:
        assert [answer.status for answer in got] == [400]
        assert not upstream.heads


@pytest.mark.ours("reads our counters")
def test_f56_refusals_are_counted(site: Site) -> None:
    """What is refused before it is an exchange is a fault and no request."""
    before = site.settled()["requests"]
    assert site.ask(site.head(b"POST", b"/x", b"content-length: 1", CHUNKED)).status == 400

    def counted() -> bool:
        faults = site.settled()["requests"]["faults"]
        return faults.get("malformed_request", 0) == before["faults"].get("malformed_request", 0) + 1

    until(counted)
    assert site.settled()["requests"]["received"] == before["received"]
