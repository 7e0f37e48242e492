"""From captured bytes to exchanges: every endpoint, whole and streamed, sound and broken."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.contract import Exchange, encode_exchanges
from monitor.contract.messages import short_hash
from proxy.assemble import Assembler
from proxy.capture import Budget, Capture
from proxy.redact import Redactor

ASSEMBLE = Assembler(Redactor(("email",), {}), b"salt", 1_000_000)
ASK = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": [{"type": "text", "text": "write to a@example.org"}]},
    ],
}


def exchange(
    asked: Any,
    answered: Any,
    *,
    endpoint: str = "chat.completions",
    status: int = 200,
    end: str = "",
    coding: bytes = b"",
    content_type: bytes = b"application/json",
) -> Exchange:
    """Assemble an exchange from what was asked and answered; lists become event streams."""
    capture = Capture("id", 1.0, 10.0, Budget(10**9), 10**9)
    capture.endpoint, capture.status, capture.end, capture.content_coding = endpoint, status, end, coding
    capture.route, capture.arm, capture.content_type, capture.ended = "r", "control", content_type, 10.5
    capture.keep_request(asked if isinstance(asked, bytes) else json.dumps(asked).encode())
    if isinstance(answered, list):
        capture.content_type = b"text/event-stream"
        answered = b"".join(b"data: " + _event(event) + b"\n\n" for event in answered)
    body = answered if isinstance(answered, bytes) else json.dumps(answered).encode()
    capture.keep_response(gzip.compress(body) if coding == b"gzip" else body, lambda: 10.25)
    return ASSEMBLE(capture)


def _event(event: Any) -> bytes:
    return event if isinstance(event, bytes) else json.dumps(event).encode()


def chat(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Make a whole chat answer."""
    return {"model": "m-1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **more}


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """Make a stream's chunk."""
    return {"model": "m-1", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def test_a_whole_chat_answer() -> None:
    """Prompt, context, answer, usage and times are read and redacted."""
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    found = exchange(ASK, chat({"content": "done, b@example.org"}, usage=usage))
    assert found.prompt == "write to [email]"
    assert found.response == "done, [email]"
    assert (found.model, found.finish_reason, found.complete, found.error) == ("m-1", "stop", True, None)
    assert (found.turns, found.prompt_tokens, found.response_tokens) == (2, 7, 3)
    assert (found.latency_s, found.ttft_s, len(found.system_id)) == (0.5, 0.25, 12)


def test_every_fact_stands_in_its_own_field() -> None:
    """An exchange is made by position, so each field is checked by its name."""
    asked = {"model": "asked", "stream": True, "user": "u", "messages": ASK["messages"][:2]}
    message = {
        "refusal": "no",
        "reasoning": "hm",
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
    }
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    capture = Capture("id-1", 1.0, 10.0, Budget(10**9), 10**9, "chat.completions")
    capture.route, capture.arm, capture.variant = "route", "arm", "variant"
    capture.keep_request(json.dumps(asked).encode())
    capture.keep_response(json.dumps(chat(message, usage=usage)).encode(), lambda: 10.25)
    capture.status, capture.end, capture.ended = 201, "client_left", 10.5
    assert ASSEMBLE(capture) == Exchange(
        id="id-1",
        time=1.0,
        prompt="first",
        response="no",
        route="route",
        arm="arm",
        variant="variant",
        model="m-1",
        endpoint="chat.completions",
        status=201,
        complete=False,
        finish_reason="stop",
        refused=True,
        reasoning="hm",
        tool_calls=("f({})",),
        turns=0,
        context_chars=13,
        system_id=short_hash("Be kind."),
        prompt_tokens=7,
        response_tokens=3,
        latency_s=0.5,
        ttft_s=0.25,
        stream=True,
        user=ASSEMBLE.user_hash("u"),
        error="client_left",
    )


def test_tool_calls_refusals_and_reasoning() -> None:
    """What stands beside the text is kept apart from it."""
    calls = [{"id": "1", "function": {"name": "find", "arguments": '{"mail":"c@example.org"}'}}]
    found = exchange(ASK, chat({"content": None, "tool_calls": calls, "reasoning_content": "hm"}))
    assert (found.response, found.tool_calls, found.reasoning) == ("", ('find({"mail":"[email]"})',), "hm")
    refused = exchange(ASK, chat({"content": None, "refusal": "I cannot."}))
    assert (refused.response, refused.refused) == ("I cannot.", True)


@pytest.mark.parametrize("done", [[b"[DONE]"], []])
def test_a_streamed_chat_answer(done: list[bytes]) -> None:
    """Role-only, finish-only and usage-only chunks; the first choice; with and without [DONE]."""
    events = [
        delta(role="assistant"),
        delta(content="Hel"),
        {"choices": [{"index": 1, "delta": {"content": "other"}}]},
        delta(content="lo"),
        delta("stop"),
        {"choices": [], "usage": {"input_tokens": 5, "output_tokens": 2}},
        *done,
    ]
    found = exchange(ASK, events)
    assert (found.response, found.finish_reason, found.complete, found.error) == ("Hello", "stop", True, None)
    assert (found.prompt_tokens, found.response_tokens) == (5, 2)


def test_a_streamed_tool_call() -> None:
    """The parts of calls come together by index."""
    part = [
        {"index": 0, "function": {"name": "f", "arguments": ""}},
        {"index": 1, "function": {"name": "g", "arguments": "{}"}},
        {"index": 0, "function": {"arguments": '{"a":'}},
        {"index": 0, "function": {"arguments": "1}"}},
    ]
    found = exchange(ASK, [*(delta(tool_calls=[call]) for call in part), delta("tool_calls")])
    assert found.tool_calls == ('f({"a":1})', "g({})")


def test_a_truncated_stream_is_partial() -> None:
    """No end mark: flagged, with a reason; half a last event of a reset stream is nobody's mistake."""
    found = exchange(ASK, [delta(content="Hel")])
    assert (found.response, found.complete, found.error) == ("Hel", False, "stream_truncated")
    reset = exchange(ASK, [delta(content="Hel"), b'{"choices":[{"ind'], end="upstream_reset")
    assert (reset.response, reset.complete, reset.error) == ("Hel", False, "upstream_reset")


def test_an_error_inside_a_stream() -> None:
    """A terminal error frame names the error and ends the answer."""
    found = exchange(ASK, [delta(content="Hel"), {"error": {"code": "overloaded", "message": "x"}}])
    assert (found.response, found.complete, found.error) == ("Hel", False, "overloaded")


def test_malformed_bodies_have_reasons() -> None:
    """Neither side's broken JSON loses the exchange."""
    found = exchange(b"{not json", chat({"content": "hi"}))
    assert (found.prompt, found.response, found.error) == ("", "hi", "request_malformed")
    found = exchange(ASK, b"<html>")
    assert (found.response, found.complete, found.error) == (None, False, "response_malformed")
    found = exchange(ASK, [delta(content="a"), b"{bad", delta("stop")])
    assert (found.response, found.complete, found.error) == (None, False, "response_malformed")


def test_error_answers_are_exchanges_without_a_response() -> None:
    """Status and the provider's error code are kept."""
    found = exchange(ASK, {"error": {"message": "m", "type": "t", "code": "rate_limited"}}, status=429)
    assert (found.status, found.response, found.error) == (429, None, "rate_limited")
    assert exchange(ASK, b"<html>", status=502).error == "http_502"


def test_invalid_utf8_is_replaced() -> None:
    """Broken characters cost themselves, not the exchange."""
    body = json.dumps(ASK).encode().replace(b"write", b"wr\xff\xfete")
    found = exchange(body, json.dumps(chat({"content": "h_i"})).encode().replace(b"_", b"\xff"))
    assert found.prompt.startswith("wr��te")
    assert (found.response, found.error) == ("h�i", None)


def test_compressed_answers_are_read() -> None:
    """A gzip stream is decoded for the mirror; a damaged one has a reason."""
    assert exchange(ASK, [delta(content="hi"), delta("stop")], coding=b"gzip").response == "hi"
    assert exchange(ASK, b"x", coding=b"br2").error == "coding_unknown"


def test_mislabelled_streams_are_recognised() -> None:
    """Events under a JSON label are read as events."""
    body = b"data: " + json.dumps(delta("stop", content="hi")).encode() + b"\n\n"
    assert exchange(ASK, body).response == "hi"


def test_completions() -> None:
    """The older endpoint: its first prompt and first choice, whole and streamed."""
    asked = {"model": "m", "prompt": ["one", "two"]}
    whole = exchange(asked, {"choices": [{"index": 0, "text": "hi"}]}, endpoint="completions")
    assert (whole.prompt, whole.response, whole.complete) == ("one", "hi", True)
    parts = [{"choices": [{"index": 0, "text": t}]} for t in ("h", "i")]
    streamed = exchange(asked, [*parts, b"[DONE]"], endpoint="completions")
    assert (streamed.response, streamed.complete) == ("hi", True)


RESPONSE = {
    "model": "m-1",
    "status": "completed",
    "usage": {"input_tokens": 4, "output_tokens": 2},
    "output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "thinking"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "hello"}]},
        {"type": "function_call", "name": "f", "arguments": "{}"},
    ],
}


@pytest.mark.parametrize("streamed", [False, True])
def test_responses(streamed: bool) -> None:  # noqa: FBT001 - a table of cases
    """The responses endpoint, whole and from its final event."""
    asked = {"model": "m", "instructions": "Be kind.", "input": [{"role": "user", "content": "hi"}]}
    events = [
        {"type": "response.output_text.delta", "delta": "hel"},
        {"type": "response.completed", "response": RESPONSE},
    ]
    found = exchange(asked, events if streamed else RESPONSE, endpoint="responses")
    assert (found.prompt, found.response, found.reasoning) == ("hi", "hello", "thinking")
    assert (found.tool_calls, found.finish_reason, found.complete) == (("f({})",), "tool_calls", True)
    assert (found.prompt_tokens, found.response_tokens) == (4, 2)


def test_incomplete_responses() -> None:
    """A length limit is a finish reason, a stream without its final event is partial, a failure is named."""
    details = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    found = exchange({"input": "hi"}, RESPONSE | details, endpoint="responses")
    assert (found.prompt, found.finish_reason, found.complete) == ("hi", "length", True)
    cut = exchange({}, [{"type": "response.output_text.delta", "delta": "hel"}], endpoint="responses")
    assert (cut.response, cut.complete, cut.error) == ("hel", False, "stream_truncated")
    failure = {
        "type": "response.failed",
        "response": {"status": "failed", "output": [], "error": {"code": "oops"}},
    }
    failed = exchange({}, [failure], endpoint="responses")
    assert (failed.complete, failed.error) == (False, "oops")


def test_users_are_hashed() -> None:
    """The body's user is kept as a salted hash only."""
    found = exchange(ASK | {"user": "jane"}, chat({"content": "x"}))
    assert found.user == ASSEMBLE.user_hash("jane")
    assert "jane" not in str(found)


@given(st.sampled_from(["chat.completions", "completions", "responses"]), st.binary(), st.binary())
def test_no_bytes_make_it_fail(endpoint: str, asked: bytes, answered: bytes) -> None:
    """Whatever passed, there is an exchange."""
    assert exchange(asked, answered, endpoint=endpoint).id == "id"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "delta", "content", "usage", "output", "type", "text", "error"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(["chat.completions", "completions", "responses"]), JSON, JSON)
def test_no_json_makes_it_fail(endpoint: str, asked: Any, answered: Any) -> None:
    """Whatever shape the JSON has, whole or as an event, there is an exchange."""
    assert encode_exchanges([exchange(asked, answered, endpoint=endpoint)])
    assert encode_exchanges([exchange(asked, [answered], endpoint=endpoint)])


@pytest.mark.parametrize("usage", [[], [7], "many", 7, 10**400, 7.5, True, {}, {"prompt_tokens": "7"}])
@pytest.mark.parametrize("streamed", [False, True])
def test_usage_of_another_shape_loses_nothing_else(*, usage: Any, streamed: bool) -> None:
    """Whatever stands where counts belong, the answer is read; in a stream, what an earlier chunk counted stays."""
    answer = chat({"content": "x"}, usage=usage)
    if streamed:
        counted = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
        found = exchange(ASK, [counted, answer])
        assert (found.response, found.prompt_tokens, found.response_tokens) == ("x", 7, 3)
    else:
        found = exchange(ASK, answer)
        assert (found.response, found.prompt_tokens, found.response_tokens) == ("x", None, None)


def test_nonsense_counts_are_left_out() -> None:
    """Numbers that nothing can carry do not reach the bus."""
    usage = {"prompt_tokens": 10**30, "completion_tokens": -1}
    found = exchange(ASK, chat({"content": "x"}, usage=usage))
    assert (found.prompt_tokens, found.response_tokens) == (None, None)
    assert exchange(ASK, {"error": {"code": 10**30}}, status=500).error == "error"
