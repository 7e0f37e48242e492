"""Describing an exchange: the conventions' names, the caller's trace, and nothing that anybody said."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.contract import Exchange
from monitor.contract.config import load_config
from proxy.assemble import Assembler
from proxy.capture import Budget, Capture
from proxy.redact import READY, Redactor
from proxy.routing import build_router
from proxy.tracing.spans import LONGEST, Describer, Parent, Target, read_traceparent, targets

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = f"00-{TRACE}-{CALLER}-01".encode()
REDACT = Redactor(tuple(READY), {})
KNOWN = {"support": Target("openai", "model.example", 8443, "")}
STREAM = (
    b'data: {"model":"m-1","choices":[{"index":0,"delta":{"content":"fine"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3}}\n\ndata: [DONE]\n\n'
)


def describer(share: float = 1.0, known: dict[str, Target] | None = None) -> Describer:
    """Return a describer with repeatable chance."""
    known = KNOWN if known is None else known
    return Describer(known, REDACT, share=share, max_decoded=2**20, chance=random.Random(1))


def captured(request: bytes, response: bytes, **more: Any) -> Capture:
    """Return a capture of a whole exchange that took half a second."""
    capture = Capture("x1", 1000.0, 5.0, Budget(2**30), 2**30, "chat.completions")
    capture.keep_request(request)
    capture.keep_response(response, lambda: 5.25)
    facts = {"status": 200, "ended": 5.5, "route": "support", "arm": "control", "variant": "v1"} | more
    for name, value in facts.items():
        setattr(capture, name, value)
    return capture


def assembled(capture: Capture) -> Exchange:
    """Assemble as the mirror does."""
    return Assembler(REDACT, b"salt", 2**20)(capture)


def test_a_streamed_chat_has_all_that_the_conventions_ask_for() -> None:
    """Names, models, tokens, times, the server, and the caller's span as the parent."""
    request = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}'
    capture = captured(request, STREAM, content_type=b"text/event-stream", traceparent=HEADER)
    span = describer()(capture, assembled(capture))
    assert span is not None
    assert (span.name, span.failed) == ("chat m", False)
    assert (span.trace_id.hex(), span.parent_id.hex()) == (TRACE, CALLER)
    assert (span.start, span.end) == (1_000_000_000_000, 1_000_500_000_000)
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "m-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
        "server.address": "model.example",
        "server.port": 8443,
        "http.response.status_code": 200,
        "driftgate.exchange.id": "x1",
        "driftgate.route": "support",
        "driftgate.arm": "control",
        "driftgate.variant": "v1",
    }


@pytest.mark.parametrize(
    ("facts", "body", "error"),
    [
        ({"status": 429}, b'{"error":{"code":"rate_limit_exceeded"}}', "rate_limit_exceeded"),
        ({"status": 500}, b"oops", "http_500"),
        ({"status": 200, "end": "client_left"}, b'{"choices":[', "client_left"),
        ({"status": 502, "end": "upstream_refused"}, b"", "upstream_refused"),
    ],
)
def test_an_error_has_a_type_of_few_values(facts: dict[str, Any], body: bytes, error: str) -> None:
    """The model's code, the status or the proxy's own word; never a message."""
    capture = captured(b'{"model":"m"}', body, **facts)
    span = describer()(capture, assembled(capture))
    assert span is not None
    assert (span.failed, span.attributes["error.type"]) == (True, error)
    assert span.attributes["http.response.status_code"] == facts["status"]


def test_nothing_that_was_said_is_in_a_span() -> None:
    """Models' names and codes may be anything; they are redacted and cut, texts are absent."""
    key = "sk-proj-MARKED0123456789abcdefghij"
    request = b'{"model":"%s %s","messages":[{"role":"user","content":"SAID"}],"user":"SAID"}' % (
        key.encode(),
        b"x" * 900,
    )
    answer = b'{"model":"%s","choices":[{"message":{"content":"SAID"},"finish_reason":"%s"}]}' % (
        (key.encode(),) * 2
    )
    capture = captured(request, answer)
    span = describer()(capture, assembled(capture))
    assert span is not None
    assert "MARKED" not in repr(span)
    assert "SAID" not in repr(span)
    assert len(str(span.attributes["gen_ai.request.model"])) == LONGEST


@pytest.mark.parametrize(
    ("header", "parent"),
    [
        (HEADER, Parent(bytes.fromhex(TRACE), bytes.fromhex(CALLER), sampled=True)),
        (HEADER[:-1] + b"0", Parent(bytes.fromhex(TRACE), bytes.fromhex(CALLER), sampled=False)),
        (b"cc" + HEADER[2:] + b"-more", Parent(bytes.fromhex(TRACE), bytes.fromhex(CALLER), sampled=True)),
        (HEADER + b"-more", None),
        (b"ff" + HEADER[2:], None),
        (HEADER.upper(), None),
        (f"00-{'0' * 32}-{CALLER}-01".encode(), None),
        (f"00-{TRACE}-{'0' * 16}-01".encode(), None),
        (b"", None),
    ],
)
def test_the_callers_trace_is_read_as_w3c_says(header: bytes, parent: Parent | None) -> None:
    """What is wrong is as if it were absent."""
    assert read_traceparent(header) == parent


def test_a_caller_decides_and_otherwise_the_share_does() -> None:
    """An unsampled caller gets no span whatever the share; without a caller a tenth is a tenth, each with its ids."""
    exchange = Exchange(id="x", time=1.0, prompt="", route="support")
    unsampled = captured(b"{}", b"{}", traceparent=HEADER[:-1] + b"0")
    assert describer(1.0)(unsampled, exchange) is None
    assert describer(0.0)(captured(b"{}", b"{}", traceparent=HEADER), exchange) is not None
    describe, alone = describer(0.1), captured(b"{}", b"{}")
    spans = [span for span in (describe(alone, exchange) for _ in range(2000)) if span is not None]
    assert 140 < len(spans) < 260
    assert len({(span.trace_id, span.span_id) for span in spans}) == len(spans)
    assert {span.parent_id for span in spans} == {b""}


def test_a_route_names_its_server_and_its_provider() -> None:
    """A variant's model is the one asked for; litellm's providers have the conventions' names."""
    routes = [
        {"name": "a", "match": "a", "variant": {"upstream": "https://a.example/v1", "model": "real"}},
        {"name": "b", "match": "b", "variant": {"provider": "litellm", "model": "bedrock/claude"}},
        {"name": "c", "match": "c", "variant": {"provider": "litellm", "model": "anthropic/claude"}},
    ]
    known = targets(build_router(load_config(None, {"routes": routes})))
    assert known["a"] == Target("openai", "a.example", 443, "real")
    assert [known[name].provider for name in ("b", "c")] == ["aws.bedrock", "anthropic"]
    span = describer(known=known)(
        captured(b'{"model":"a"}', b"{}"), Exchange(id="x", time=1.0, prompt="", route="b")
    )
    assert span is not None
    assert span.name == "chat bedrock/claude"
    assert "server.address" not in span.attributes


@given(
    request=st.binary(max_size=200),
    coding=st.sampled_from([b"", b"gzip", b"no"]),
    header=st.binary(max_size=60),
)
def test_describing_never_raises(request: bytes, coding: bytes, header: bytes) -> None:
    """It runs in the mirror's thread, which has better things to do than to die of a client's bytes."""
    capture = captured(request, b"\xff", request_coding=coding, traceparent=header)
    assert describer()(capture, assembled(capture)) is not None or header
