"""Requests: bytes, headers and targets that must reach the upstream as they were sent."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from pathlib import Path

import pytest

from tests.conformance.site import Site
from tests.conformance.upstream import answering
from tests.conformance.wire import ANSWER, LAST_CHUNK, Message, Wire, chunk, response, until

JSON = b"content-type: application/json"
MB = 1024 * 1024

ODD = {
    "key_order": b'{"z":1,"model":"M","messages":[{"content":"hi","role":"user"}],"a":2}',
    "spaces": b'{ "model" :\t"M" ,\r\n "messages":[ {"role":"user","content":"hi"} ]\n}\n ',
    "escapes": rb'{"model":"M","messages":[{"role":"user","content":"\u00e9\ud83d\ude00\/<>&\u2028"}]}',
    "duplicate_keys": b'{"model":"M","n":1,"messages":[{"role":"user","content":"hi"}],"n":1}',
    "big_numbers": b'{"model":"M","messages":[{"role":"user","content":"hi"}],"seed":18446744073709551615,'
    b'"metadata":{"f":1e400,"g":1.10,"h":-0.0,"i":0.30000000000000004}}',
    "raw_utf8": '{"model":"M","messages":[{"role":"user","content":"ée\u0301 😀"}]}'.encode(),
    "byte_order_mark": b'\xef\xbb\xbf{"model":"M","messages":[{"role":"user","content":"hi"}]}',
}


@pytest.mark.parametrize("odd", ODD)
def test_f01_request_body_is_identical(site: Site, odd: str) -> None:
    """Key order, spaces, escapes, duplicate keys, large numbers and a byte order mark stay as they are."""
    body = ODD[odd].replace(b'"M"', b'"' + site.asking.model + b'"')
    site.upstream.start(response(ANSWER, JSON))
    assert site.post(body).status == 200
    assert [asked.body for asked in site.upstream.asked] == [body]
    assert site.upstream.asked[0].values(b"content-length") == [b"%d" % len(body)]


def test_f02_unknown_nested_fields_stay(site: Site) -> None:
    """Fields that no specification knows arrive, at any depth."""
    body = site.chat(stream_options={"step_usage_chunks": True}, x_new={"deep": [{"er": None}]})
    site.upstream.start(response(ANSWER, JSON))
    site.post(body)
    sent, came = json.loads(body), json.loads(site.upstream.asked[0].body)
    assert {key: came.get(key) for key in sent} == sent


@pytest.mark.parametrize("options", [None, {"include_usage": False}, {"include_usage": True}])
def test_f07_usage_is_neither_asked_for_nor_refused(site: Site, options: dict | None) -> None:
    """`stream_options` reaches the upstream as the client wrote it, or not at all."""
    body = site.chat(stream=True, **({"stream_options": options} if options else {}))
    site.upstream.start(response(b"data: [ANSWER]\n\n", b"content-type: text/event-stream"))
    site.post(body)
    assert json.loads(site.upstream.asked[0].body).get("stream_options") == options


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br"])
def test_f14_coded_request_bodies_are_untouched(site: Site, coding: str) -> None:
    """A compressed body arrives compressed, with its Content-Encoding; the mirror reads gzip."""
    plain = site.chat()
    body = gzip.compress(plain) if coding == "gzip" else b"\x28\xb5\x2f\xfd" + bytes(range(256))
    site.upstream.start(response(ANSWER, JSON))
    got = site.post(body, b"content-encoding: " + coding.encode())
    assert got.status == 200
    asked = site.upstream.asked[0]
    assert asked.body == body
    assert asked.values(b"content-encoding") == [coding.encode()]
    if site.mirrored and coding == "gzip":
        assert site.exchange(got).prompt == "hi"


@pytest.mark.ours("reads our bus")
@pytest.mark.modes("on")
def test_f14_a_bomb_is_not_decoded(site: Site) -> None:
    """Twenty megabytes in twenty kilobytes pass, and the mirror stops at its limit."""
    body = gzip.compress(b'{"messages":"' + b" " * 20 * MB + b'"}')
    site.upstream.start(response(ANSWER, JSON))
    before = site.rss_mb()
    exchange = site.exchange(site.post(body, b"content-encoding: gzip"))
    assert exchange.error == "too_large_decoded"
    assert site.upstream.asked[0].body == body
    assert site.rss_mb() - before < 40


@pytest.mark.parametrize("value", [None, b"identity", b"gzip;q=0.5, *;q=0", b"br, zstd"])
def test_f15_accept_encoding_is_the_clients(site: Site, value: bytes | None) -> None:
    """Accept-Encoding is forwarded exactly, and none is added."""
    site.upstream.start(response(ANSWER, JSON))
    site.post(site.chat(), *([b"accept-encoding: " + value] if value else []))
    assert site.upstream.asked[0].values(b"accept-encoding") == ([value] if value else [])


def test_f15_nothing_is_added_to_a_request(site: Site) -> None:
    """No header but the client's own reaches the upstream, apart from Host and Connection."""
    site.upstream.start(response(ANSWER, JSON))
    site.post(site.chat(), b"X-One: 1")
    names = {name.lower() for name, _ in site.upstream.asked[0].headers}
    own = {row.partition(b":")[0].lower() for row in site.asking.headers}
    assert names - own <= {b"host", b"connection", b"content-type", b"content-length", b"x-one"}


def test_f19_repeated_request_headers_stay_apart(site: Site) -> None:
    """A header sent twice arrives twice, in order; names are met in any case."""
    site.upstream.start(response(ANSWER, JSON))
    site.post(site.chat(), b"X-Tag: one", b"x-tAG: two, three", b"X-TAG:")
    assert site.upstream.asked[0].values(b"x-tag") == [b"one", b"two, three", b""]


def test_f39_large_bodies_pass_in_flat_memory(site: Site, long: bool) -> None:  # noqa: FBT001 - a fixture
    """1,014,506 bytes, then 24 MB (`--long`: 100 MB) arrive whole; our memory does not hold them."""
    for size, framing in ((1_014_506, "length"), ((100 if long else 24) * MB, "chunked")):
        digest, came, peak = hashlib.sha256(), [0], [0.0]

        def script(head: Message, wire: Wire, digest=digest, came=came, peak=peak) -> None:
            for i, part in enumerate(wire.parts(head)):
                digest.update(part)
                came[0] += len(part)
                if site.ours and i % 100 == 0:
                    peak[0] = max(peak[0], site.rss_mb())
            wire.send(response(ANSWER, JSON))

        site.upstream.start(script)
        before = site.rss_mb() if site.ours else 0.0
        body = site.chat(padding="")[:-2] + b"x" * size + b'"}'
        wire = site.connect()
        if framing == "length":
            wire.send(site.posting(body))
        else:
            wire.send(site.head(b"POST", b"/chat/completions", JSON, b"transfer-encoding: chunked"))
            for at in range(0, len(body), 256 * 1024):
                wire.send_chunk(body[at : at + 256 * 1024])
            wire.send(LAST_CHUNK)
        assert wire.message().status == 200
        wire.close()
        assert came[0] == len(body)
        assert digest.digest() == hashlib.sha256(body).digest()
        assert peak[0] - before < 24


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_f40_multipart_is_unchanged_and_streamed(site: Site, framing: str) -> None:
    """The upstream has the first part of an upload before the client sends the second, and every byte of both."""
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nM\r\n',
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a\xff.wav"\r\n\r\n'
        + bytes(range(256)) * 64,
        b"\r\n--b--\r\n",
    ]
    parts[0] = parts[0].replace(b"M", site.asking.model)
    first_seen, bodies = threading.Event(), []

    def script(head: Message, wire: Wire) -> None:
        seen = b""
        for part in wire.parts(head):
            seen += part
            if parts[0] in seen:
                first_seen.set()
        bodies.append((head.values(b"content-type"), seen))
        wire.send(response(b'{"text":"hi"}', JSON))

    site.upstream.start(script)
    kind = b"content-type: multipart/form-data; boundary=b"
    size = b"content-length: %d" % sum(map(len, parts))
    wire = site.connect()
    framed = framing == "chunked"
    wire.send(
        site.head(b"POST", b"/audio/transcriptions", kind, b"transfer-encoding: chunked" if framed else size)
    )
    wire.send(chunk(parts[0]) if framed else parts[0])
    streamed = first_seen.wait(1.5)
    for part in parts[1:]:
        wire.send(chunk(part) if framed else part)
    if framed:
        wire.send(LAST_CHUNK)
    assert wire.message().status == 200
    wire.close()
    assert bodies == [([b"multipart/form-data; boundary=b"], b"".join(parts))]
    assert streamed, "the upload was held back"


@pytest.mark.ours("greps our files")
def test_f42_credentials_stay_in_transit(site: Site) -> None:
    """The client's key reaches the upstream and nothing else; our own headers and hop-by-hop ones stay here."""
    marks = [b"sk-MARKED-authorization", b"MARKED-proxy-authorization", b"MARKED-api-key", b"MARKED-sticky"]
    site.upstream.start(response(ANSWER, JSON))
    got = site.post(
        site.chat(),
        b"Authorization: Bearer " + marks[0],
        b"Proxy-Authorization: Basic " + marks[1],
        b"api-key: " + marks[2],
        b'Drift-Sticky: "' + marks[3] + b'"',
    )
    site.post(
        site.chat(), b"Authorization: Bearer " + marks[0], b"Drift-Mirror: ?0", path=b"/x?key=MARKED-query"
    )
    asked = site.upstream.asked[0]
    assert asked.values(b"authorization") == [b"Bearer " + marks[0]]
    assert asked.values(b"api-key") == [marks[2]]
    assert not asked.values(b"proxy-authorization")
    assert not [name for name, _ in asked.headers if name.lower().startswith(b"drift-")]
    if site.mirrored:
        assert site.exchange(got).user
    until(lambda: not site.status()["requests"]["in_flight"])
    files = [
        path for path in site.process.directory.rglob("*") if path.is_file() and path.name != "bus.sqlite-shm"
    ]
    assert not [path for path in files if b"MARKED" in Path(path).read_bytes()]
    assert b"MARKED" not in json.dumps(site.status()).encode()


def test_f43_trace_headers_pass(site: Site) -> None:
    """traceparent, tracestate, baggage and x-request-id arrive as they were; the answer's x-request-id returns."""
    rows = {
        b"traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"tracestate": b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        b"baggage": b"userId=alice,isProduction=false;meta",
        b"x-request-id": b"not a uuid / 42",
    }
    site.upstream.start(response(ANSWER, JSON, b"x-request-id: req_upstream"))
    got = site.post(site.chat(), *(name + b": " + value for name, value in rows.items()))
    asked = site.upstream.asked[0]
    assert {name: asked.values(name) for name in rows} == {name: [value] for name, value in rows.items()}
    assert got.values(b"x-request-id") == [b"req_upstream"]


TARGETS = [
    b"/files//a",
    b"/files/a%2Fb/%E4%B8%AD?x=%20y+z",
    b"/files/%7euser/%41",
    b"/files?",
    b"/files?a=&b&&c==&a=1",
    b"/files?q=a?b/c:d@e!$'()*,;",
    b"/files?limit=2&after=%00%ff",
    b"/files/a;b=c/.d",
    b'/files?q=[1]|{2}^`"<>\\',
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.decode())
def test_f44_path_and_query_bytes_stay(site: Site, target: bytes) -> None:
    """Percent escapes, empty segments and parameters, a bare question mark and odd characters stay as sent."""
    site.upstream.start(response(b'{"object":"list","data":[]}', JSON))
    assert site.ask(site.head(b"GET", target)).status == 200
    assert site.upstream.asked[0].target == b"/v1" + target


@pytest.mark.parametrize("target", [b"/files/../models", b"/files/./a"], ids=lambda target: target.decode())
def test_f44_dot_segments_stay(site: Site, target: bytes) -> None:
    """Dot segments are the upstream's to resolve: a proxy that resolves them changes what is asked for."""
    site.upstream.start(response(b'{"object":"list","data":[]}', JSON))
    assert site.ask(site.head(b"GET", target)).status == 200
    assert site.upstream.asked[0].target == b"/v1" + target


@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"PUT", b"PATCH", b"OPTIONS"])
def test_f44_methods_and_absent_bodies_stay(site: Site, method: bytes) -> None:
    """Any method passes, and a request without a body does not get one."""
    site.upstream.start(response(b'{"object":"list","data":[]}', JSON))
    length = [b"content-length: 0"] if method in {b"PUT", b"PATCH"} else []
    assert site.ask(site.head(method, b"/files/f", *length)).status == 200
    asked = site.upstream.asked[0]
    assert asked.line.startswith(method + b" /v1/files/f HTTP/1.")
    assert asked.values(b"content-length") in ([], [b"0"])
    assert not asked.values(b"transfer-encoding")


def test_f39_an_early_answer_reaches_the_client(site: Site) -> None:
    """An upstream that refuses an upload before it is complete is heard while the client still sends."""

    def script(_: Message, wire: Wire) -> None:
        wire.send(
            response(b'{"error":{"message":"too large"}}', JSON, b"connection: close", status=b"413 Large")
        )
        wire.gone(2.0)

    site.upstream.start(script)
    wire = site.connect()
    wire.send(site.head(b"POST", b"/files", JSON, b"content-length: 1000000"), b"x" * 100_000)
    got = wire.message()
    wire.close()
    assert (got.status, got.body) == (413, b'{"error":{"message":"too large"}}')


def test_f40_expect_100_continue(site: Site) -> None:
    """A client that waits for 100 before its body gets it, or an answer, within a moment."""
    site.upstream.start(answering(site.upstream, response(ANSWER, JSON)))
    body = site.chat()
    wire = site.connect()
    wire.send(site.posting(body, b"expect: 100-continue")[: -len(body)])
    assert wire.head().line.startswith(b"HTTP/1.1 100")
    wire.send(body)
    assert wire.message().status == 200
    wire.close()
    assert site.upstream.asked[0].body == body
