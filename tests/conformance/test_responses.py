"""Responses: bytes, status and headers that must reach the client as they were sent."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import ANSWER, LAST_CHUNK, Message, Wire, chunk, response, stream_head

JSON = b"content-type: application/json"
SSE = b"content-type: text/event-stream"
DONE = b"data: [DONE]\n\n"


def delta(**fields: str) -> bytes:
    """Write a stream's event from its raw JSON members."""
    return b"data: {" + ",".join(f'"{key}": {value}' for key, value in fields.items()).encode() + b"}\n\n"


ROLE = delta(choices='[{"index":0,"delta":{"role":"assistant"}}]')
WORD = delta(choices='[{"index":0,"delta":{"content":"hé"}}]')
FINISH = delta(choices='[{"index":0,"delta":{},"finish_reason":"stop"}]')
USAGE = delta(choices="[]", usage='{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}')


def streaming(*events: bytes, gap_s: float = 0.0):
    """Return a script that streams events, each in a chunk of its own."""

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(stream_head())
        for event in events:
            wire.send_chunk(event)
            if gap_s:
                time.sleep(gap_s)
        wire.send(LAST_CHUNK)

    return script


def stream(site: Site, *events: bytes) -> Message:
    """Stream events through the proxy and assert that their bytes came and ended properly."""
    site.upstream.start(streaming(*events))
    got = site.post(site.chat(stream=True))
    assert got.status == 200
    assert got.body == b"".join(events)
    assert got.end == "whole"
    return got


def test_f03_response_json_is_identical(site: Site) -> None:
    """Unknown fields, odd numbers and spaces of a JSON answer stay as they are."""
    body = (
        b'{ "id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"h\\u00e9",'
        b'"reasoning":"r","reasoning_items":[{"a":1e400}]},"logprobs":{"content":[{"token":"h",'
        b'"logprob":-0.10,"bytes":[104]}]},"finish_reason":"stop"}],"x_new":18446744073709551615 }\n'
    )
    site.upstream.start(response(body, JSON))
    assert site.post(site.chat()).body == body


def test_f03_response_events_are_identical(site: Site) -> None:
    """So do those of a stream."""
    odd = b'event: x\nid: 7\nretry: 10\ndata: { "reasoning_items":[1.10], "choices":[{"delta":{"reasoning":"r"}}] }\n\n'
    stream(site, ROLE, odd, WORD, FINISH, DONE)


def test_f04_sparse_frames_are_relayed_and_read(site: Site) -> None:
    """Role-only, finish-only and usage-only frames pass, and the mirror reads each."""
    got = stream(site, ROLE, WORD, FINISH, USAGE, DONE)
    if site.mirrored:
        exchange = site.exchange(got)
        assert (exchange.response, exchange.finish_reason, exchange.complete) == ("hé", "stop", True)
        assert (exchange.prompt_tokens, exchange.response_tokens) == (3, 2)


def test_f05_refusals_annotations_and_terminal_errors_are_relayed(site: Site) -> None:
    """Frames of the Responses API that gateways forget, and an `error` frame behind `response.failed`."""
    events = [
        b'event: response.refusal.delta\ndata: {"type":"response.refusal.delta","delta":"no"}\n\n',
        (
            b'event: response.output_text.annotation.added\ndata: {"type":"response.output_text.annotation.added",'
            b'"annotation":{"type":"url_citation","url":"u"}}\n\n'
        ),
        (
            b'event: response.failed\ndata: {"type":"response.failed","response":{"status":"failed",'
            b'"error":{"code":"server_error","message":"m"}}}\n\n'
        ),
        b'event: error\ndata: {"type":"error","code":"server_error","message":"m"}\n\n',
    ]
    site.upstream.start(streaming(*events))
    body = b'{"model":"' + site.asking.model + b'","input":"hi","stream":true}'
    got = site.post(body, path=b"/responses")
    assert (got.body, got.end) == (b"".join(events), "whole")
    if site.mirrored:
        assert site.exchange(got).error == "server_error"


def test_f06_frames_are_neither_merged_nor_split(site: Site) -> None:
    """Seven events sent apart arrive as seven, each whole in one read of its own."""
    events = [b'data: {"choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n' % i for i in range(7)]
    site.upstream.start(streaming(*events, gap_s=0.04))
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True)))
    assert list(wire.parts(wire.head())) == events
    wire.close()


@pytest.mark.parametrize(
    "usage",
    [
        delta(choices="[]", usage='{"prompt_tokens":3,"completion_tokens":2}'),
        delta(choices='[{"delta":{}}]', usage='{"prompt_tokens":3,"completion_tokens":2}'),
        delta(usage='{"prompt_tokens":3,"completion_tokens":2,"x":{"y":null}}'),
        delta(choices="[]", usage="null"),
        delta(choices="[]", usage='{"prompt_tokens":"3"}'),
        b"",
    ],
    ids=["no_choices", "empty_delta", "choices_absent", "null", "of_strings", "absent"],
)
def test_f08_usage_of_any_shape_is_read_without_error(site: Site, usage: bytes) -> None:
    """Whatever stands for usage passes, and the mirror takes what is there."""
    got = stream(site, *(event for event in (ROLE, WORD, FINISH, usage, DONE) if event))
    if site.mirrored:
        exchange = site.exchange(got)
        assert (exchange.response, exchange.complete, exchange.error) == ("hé", True, None)
        counted = b'prompt_tokens":3' in usage
        assert exchange.prompt_tokens == (3 if counted else None)


def test_f09_comments_pass_at_once_and_none_is_added(site: Site) -> None:
    """A ping arrives while the upstream is silent, unchanged; in a second of silence nothing else does."""

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(stream_head(), chunk(b": ping - 2024\n\n"), chunk(b":\n\n"))
        time.sleep(1.3)
        wire.send(chunk(DONE), LAST_CHUNK)

    site.upstream.start(script)
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True)))
    head, began = wire.head(), time.monotonic()
    parts = wire.parts(head)
    came = b""
    while len(came) < 18:
        came += next(parts)
    assert came == b": ping - 2024\n\n:\n\n"
    assert time.monotonic() - began < 0.8
    assert wire.silent(0.7)
    assert b"".join(parts) == DONE
    wire.close()


@pytest.mark.parametrize("newline", [b"\r\n", b"\r", b"\n"], ids=["crlf", "cr", "lf"])
def test_f10_line_ends_stay(site: Site, newline: bytes) -> None:
    """CRLF, CR and LF between events stay what they are, and the mirror reads each."""
    got = stream(site, *(event.replace(b"\n", newline) for event in (ROLE, WORD, FINISH, DONE)))
    if site.mirrored:
        exchange = site.exchange(got)
        assert (exchange.response, exchange.complete) == ("hé", True)


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"], ids=["crlf", "lf"])
def test_f11_any_split_is_survived(site: Site, newline: bytes) -> None:
    """A stream sent byte by byte, through `data:`, a character and a line end, passes and is read."""
    text = b"".join((ROLE, WORD, FINISH, DONE)).replace(b"\n", newline)
    got = stream(site, *(text[i : i + 1] for i in range(len(text))))
    if site.mirrored:
        assert site.exchange(got).response == "hé"


def test_f12_gzip_streams_pass_and_are_read(site: Site) -> None:
    """Each flushed part of a gzip stream arrives before the next is sent; the mirror decodes the whole."""
    packer = zlib.compressobj(wbits=31)
    parts = [packer.compress(e) + packer.flush(zlib.Z_SYNC_FLUSH) for e in (ROLE, WORD, FINISH, DONE)]
    parts.append(packer.flush())

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(stream_head(b"content-encoding: gzip"))
        for part in parts:
            wire.send_chunk(part)
            time.sleep(0.03)
        wire.send(LAST_CHUNK)

    site.upstream.start(script)
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True), b"accept-encoding: gzip"))
    head = wire.head()
    assert head.values(b"content-encoding") == [b"gzip"]
    assert list(wire.parts(head)) == parts
    wire.close()
    if site.mirrored:
        exchange = site.exchange(head)
        assert (exchange.response, exchange.complete) == ("hé", True)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "unheard-of"])
def test_f13_coding_length_and_bytes_stay_consistent(site: Site, coding: str) -> None:
    """A coded answer keeps coding, length and bytes, whether or not they make sense to a proxy."""
    body = gzip.compress(ANSWER) if coding == "gzip" else b"\x8b\x00 not what it says \xff"
    site.upstream.start(
        response(body, JSON, b"content-encoding: " + coding.encode(), b"vary: accept-encoding")
    )
    got = site.post(site.chat(), b"accept-encoding: gzip, br, zstd")
    assert got.body == body
    assert got.values(b"content-encoding") == [coding.encode()]
    assert got.values(b"content-length") == [b"%d" % len(body)]


@pytest.mark.parametrize("framing", ["length", "chunked", "close", "both"])
def test_f16_framing_is_never_contradictory(site: Site, framing: str) -> None:
    """Content-Length or Transfer-Encoding, never both, and the length is the body's."""
    body = ANSWER
    reply = {
        "length": response(body, JSON),
        "chunked": stream_head() + chunk(body) + LAST_CHUNK,
        "close": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n" + body,
        "both": stream_head(b"content-length: 3") + chunk(body) + LAST_CHUNK,
    }[framing]

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(reply)
        if framing != "length":
            wire.close()

    site.upstream.start(script)
    got = site.post(site.chat())
    lengths, codings = got.values(b"content-length"), got.values(b"transfer-encoding")
    assert len(lengths) + len(codings) <= 1
    if framing == "both" and got.status == 502:
        return  # RFC 9112 section 6.3 lets a proxy refuse what looks like smuggling
    assert (got.body, got.end) == (body, "whole")
    assert lengths == ([b"%d" % len(body)] if framing == "length" else lengths and [b"%d" % len(body)])


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_f16_a_client_of_http_1_0_gets_no_chunks(site: Site, framing: str) -> None:
    """HTTP/1.0 knows no Transfer-Encoding: such an answer ends with its connection (RFC 9112 section 6.1)."""
    body = ANSWER
    site.upstream.start(
        response(body, JSON) if framing == "length" else stream_head() + chunk(body) + LAST_CHUNK
    )
    got = site.ask(site.posting(site.chat()).replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
    assert got.values(b"transfer-encoding") == []
    assert (got.body, got.end) == (body, "whole")


RATES = (
    b"retry-after: 7",
    b"x-ratelimit-remaining-tokens: 149984",
    b"x-ratelimit-reset-requests: 6m0s",
    b"anthropic-ratelimit-requests-remaining: 4",
)


@pytest.mark.parametrize("status", [b"200 OK", b"429 Too Many Requests"], ids=["200", "429"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_f17_rate_limit_headers_pass(site: Site, status: bytes, streamed: bool) -> None:  # noqa: FBT001 - a parameter
    """retry-after and the rate limits keep their names and values, on success and 429, streamed or not."""
    if streamed:
        site.upstream.start(stream_head(*RATES, status=status) + chunk(DONE) + LAST_CHUNK)
    else:
        site.upstream.start(response(ANSWER, JSON, *RATES, status=status))
    got = site.post(site.chat(stream=streamed))
    assert got.status == int(status[:3])
    for row in RATES:
        name, _, value = row.partition(b": ")
        assert got.values(name) == [value]


def test_f18_one_server_and_one_date(site: Site) -> None:
    """Server and Date are the upstream's, once each; what the upstream does not say is not invented."""
    date = b"Mon, 01 Jan 2024 00:00:00 GMT"
    site.upstream.start(response(ANSWER, JSON, b"Server: up/1", b"Date: " + date))
    got = site.post(site.chat())
    assert got.values(b"server") == [b"up/1"]
    assert got.values(b"date") == [date]
    site.upstream.start(response(ANSWER, JSON))
    got = site.post(site.chat())
    assert not got.values(b"server")


def test_f19_repeated_response_headers_stay_apart(site: Site) -> None:
    """Set-Cookie comes as often as it was sent, in order; other headers keep values and order."""
    rows = (b"Set-Cookie: a=1; Path=/", b"X-Tag: one", b"set-cookie: b=2, c", b"x-tag: two", b"X-Empty:")
    site.upstream.start(response(ANSWER, JSON, *rows))
    got = site.post(site.chat())
    assert got.values(b"set-cookie") == [b"a=1; Path=/", b"b=2, c"]
    assert got.values(b"x-tag") == [b"one", b"two"]
    assert got.values(b"x-empty") == [b""]
    names = [name.lower() for name, _ in got.headers if name.lower() in {b"set-cookie", b"x-tag"}]
    assert names == [b"set-cookie", b"x-tag", b"set-cookie", b"x-tag"]


def test_f19_hop_by_hop_headers_stay_behind(site: Site) -> None:
    """What `Connection` names and what belongs to one hop does not reach the client."""
    rows = (b"Connection: x-hop, keep-alive", b"X-Hop: 1", b"Keep-Alive: timeout=3", b"X-End: 2")
    site.upstream.start(response(ANSWER, JSON, *rows))
    got = site.post(site.chat())
    assert got.values(b"x-end") == [b"2"]
    assert got.values(b"x-hop") == []
    assert b"timeout=3" not in got.values(b"keep-alive")


REPLIES = {
    "success": response(ANSWER, JSON),
    "stream": stream_head() + chunk(DONE) + LAST_CHUNK,
    "error": response(b'{"error":{}}', JSON, status=b"500 Oops"),
    "no_content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not_modified": b'HTTP/1.1 304 Not Modified\r\netag: "x"\r\ncontent-length: 7\r\n\r\n',
}


@pytest.mark.ours("about our own headers")
@pytest.mark.parametrize("kind", REPLIES)
def test_f20_own_headers_break_no_response(site: Site, kind: str) -> None:
    """Ours are added behind the upstream's, and everything else stays as it is without them."""
    site.upstream.start(REPLIES[kind])
    got = site.post(site.chat())
    sent = REPLIES[kind].partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    expected = [(name.lower(), value.strip()) for name, _, value in (row.partition(b":") for row in sent)]
    theirs = [(name.lower(), value) for name, value in got.headers if not name.startswith(b"drift-")]
    assert theirs == expected or sorted(theirs) == sorted(expected)
    assert got.end == "whole"


@pytest.mark.ours("about our own headers")
@pytest.mark.parametrize("kind", [*REPLIES, "fault"])
def test_f21_own_headers_stand_on_every_response(site: Site, kind: str) -> None:
    """Streams, errors, answers without a body and faults of our own carry the verdict and the exchange's id."""
    site.upstream.start(REPLIES.get(kind) or (lambda _, wire: wire.close()))
    got = site.post(site.chat(stream=kind == "stream"))
    assert len(got.values(b"drift-status")) == 1
    assert got.values(b"drift-status")[0].startswith((b"learning", b"blind"))
    assert len(got.values(b"drift-exchange")) == 1


@pytest.mark.parametrize(
    "status", [b"400 Bad", b"401 No", b"404 None", b"429 Slow", b"499 Odd", b"500 Oops", b"529 Full"]
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_f22_upstream_errors_pass_verbatim(site: Site, status: bytes, streamed: bool) -> None:  # noqa: FBT001 - a parameter
    """Status, body and type of an error are the upstream's, also where the client asked for a stream."""
    body = b'{"error": {"message":"m\\u00e9","type":"t","param":null,"code":"c"} }\n'
    site.upstream.start(response(body, b"content-type: application/json; charset=x", status=status))
    got = site.post(site.chat(stream=streamed))
    assert (got.status, got.body) == (int(status[:3]), body)
    assert got.values(b"content-type") == [b"application/json; charset=x"]
    assert not got.values(b"drift-error")


def test_f22_bodyless_answers_and_head_stay(site: Site) -> None:
    """HEAD, 204 and 304 end at their head; only HEAD and 304 have a length, and the connection lives on."""
    wire = site.connect()
    for method, reply in (
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n"),
        (b"GET", b'HTTP/1.1 304 Not Modified\r\netag: "x"\r\ncontent-length: 7\r\n\r\n'),
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
    ):
        site.upstream.start(reply)
        wire.send(site.head(method, b"/models"))
        got = wire.message(bodyless=True)
        assert got.line.split()[1] == reply.split()[1]
        expected = [row[16:] for row in reply.split(b"\r\n") if row.startswith(b"content-length")]
        assert got.values(b"content-length") == ([] if got.status == 204 else expected)
    wire.close()


@pytest.mark.parametrize("rows", [(), (b"x-accel-buffering: yes", b"cache-control: max-age=9, private")])
def test_f32_buffering_hints_are_left_alone(site: Site, rows: tuple[bytes, ...]) -> None:
    """X-Accel-Buffering and Cache-Control are the upstream's or absent."""
    site.upstream.start(stream_head(*rows) + chunk(DONE) + LAST_CHUNK)
    got = site.post(site.chat(stream=True))
    assert got.values(b"x-accel-buffering") == ([b"yes"] if rows else [])
    assert got.values(b"cache-control") == ([b"max-age=9, private"] if rows else [])


def test_f45_a_stream_though_none_was_asked_for(site: Site) -> None:
    """`stream: false` answered with events, and `stream: true` answered with JSON, pass and are read as they came."""
    site.upstream.start(streaming(ROLE, WORD, FINISH, DONE))
    got = site.post(site.chat(stream=False))
    assert got.values(b"content-type") == [b"text/event-stream"]
    assert got.body == ROLE + WORD + FINISH + DONE
    body = '{"choices":[{"index":0,"message":{"content":"hé"},"finish_reason":"stop"}]}'.encode()
    site.upstream.start(response(body, JSON))
    second = site.post(site.chat(stream=True))
    assert (second.values(b"content-type"), second.body) == ([b"application/json"], body)
    if site.mirrored:
        for each in (got, second):
            exchange = site.exchange(each)
            assert (exchange.response, exchange.complete) == ("hé", True)
