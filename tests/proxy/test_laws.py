"""Laws of the tap and the header policy, for drawn bytes. `python -m tests.fuzz` throws more at them."""

from __future__ import annotations

import gzip
import json
import zlib

from hypothesis import given
from hypothesis import strategies as st

from tests.proxy import laws
from tests.proxy.laws import Served

PLACES = st.lists(st.integers(0, 5000), max_size=10)
# Pieces that event streams and JSON are made of, and what breaks them.
SHREDS = st.sampled_from(
    [
        b"data:", b"data: ", b"data", b"event: x", b":", b": ping", b"id: 1", b"\n", b"\n\n", b"\r\n", b"\r", b"\r\n\r\n",
        b"\xef\xbb\xbf", b"[DONE]", b"{", b"}", b'"', b"\\ud800", b"\xe2\x82", b"\xff", b"\0", b"1e999", b"null", b"[[[[",
        b'{"choices":[{"index":0,"delta":{"content":"h\xc3\xa9 a@b.example"}}]}',
        b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
        b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}',
        b'{"type":"response.output_text.delta","delta":"x"}', b'{"error":{"code":5,"message":"m"}}',
    ]
)  # fmt: skip
STREAMS = st.lists(st.one_of(SHREDS, st.binary(max_size=6)), max_size=16).map(b"".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["model", "messages", "role", "content", "choices", "index", "delta", "message", "finish_reason",
             "tool_calls", "function", "name", "arguments", "usage", "prompt_tokens", "refusal", "error", "code",
             "output", "input", "text", "type", "user", "stream", "prompt", "reasoning", "instructions", "response"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())  # fmt: skip
BODIES = st.one_of(JSON, STREAMS, JSON.map(lambda body: b"data: " + body + b"\n\n"))
NAMES = st.one_of(
    st.sampled_from(
        [b"Connection", b"connection", b"Keep-Alive", b"Host", b"Content-Length", b"TE", b"Drift-Status", b"X-A", b"x-b",
         b"Drift-Mirror", b"Upgrade", b"Transfer-Encoding", b"Authorization"]
    ),
    st.binary(max_size=8),
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([b"close, X-A", b"content-length", b"x-b,,X-A ", b""]), st.binary(max_size=12)
)


@given(STREAMS)
def test_events(stream: bytes) -> None:
    """Two readers find the same."""
    laws.events_are_those_of_the_standard(stream)


@st.composite
def served(draw: st.DrawFn) -> Served:
    """Draw an exchange; codings are true, damaged or lies."""
    response, coding = draw(BODIES), draw(st.sampled_from(laws.CODINGS))
    if draw(st.booleans()):
        response = {b"gzip": gzip.compress, b"deflate": zlib.compress}.get(coding, bytes)(response)
    return Served(
        endpoint=draw(st.sampled_from(laws.ENDPOINT_NAMES)),
        request=draw(BODIES),
        response=response,
        status=draw(st.sampled_from([0, 200, 200, 200, 204, 400, 500, 999])),
        content_type=draw(st.sampled_from([b"", b"text/event-stream", b"application/json", b"\xff"])),
        request_coding=draw(st.sampled_from(laws.CODINGS)),
        content_coding=coding,
        end=draw(st.sampled_from(laws.ENDS)),
    )


@given(served(), PLACES)
def test_exchanges(exchange: Served, places: list[int]) -> None:
    """Whatever is captured and however it was cut, an exchange comes of it, always the same."""
    laws.an_exchange_does_not_depend_on_its_cuts(exchange, places)


@given(
    st.integers(0, 3000),
    st.integers(0, 300),
    st.lists(st.tuples(st.booleans(), st.binary(max_size=120)), max_size=20),
)
def test_budgets(limit: int, body_limit: int, pieces: list[tuple[bool, bytes]]) -> None:
    """Bytes are counted once and given back once."""
    laws.a_budget_adds_up(limit, body_limit, pieces)


@given(
    st.one_of(st.binary(), st.binary().map(gzip.compress), st.binary().map(zlib.compress)),
    st.integers(1, 200),
)
def test_codings(body: bytes, limit: int) -> None:
    """Any bytes under any coding."""
    for coding in laws.CODINGS:
        laws.decoding_stays_within_its_limit(body, coding, limit)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=10))
def test_headers(sent: list[tuple[bytes, bytes]]) -> None:
    """The policy is the table, in both directions, and applying it twice changes nothing."""
    laws.headers_pass_in_order_or_not_at_all(sent)


@given(st.text(), st.floats(allow_nan=False))
def test_structured_fields(text: str, number: float) -> None:
    """Names and numbers of others cannot break our headers."""
    laws.structured_fields_are_well_formed(text, number)


@given(
    st.lists(
        st.one_of(
            st.text(),
            st.sampled_from(["a@b.example", "+49 170 1234567", "4111 1111 1111 1111", "sk-" + "a" * 40]),
        )
    )
)
def test_redaction(texts: list[str]) -> None:
    """One question for all texts of an exchange."""
    laws.redacting_together_is_redacting_each(texts)
