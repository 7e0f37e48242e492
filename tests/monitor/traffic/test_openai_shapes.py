"""What the stand-in says has OpenAI's shapes and is labelled."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from monitor.traffic.openai_shapes import FINGERPRINT, MODEL, Answer, Reply, reply

ANSWER = Answer("one two three")


def ask(path: str, body: dict[str, Any], answer: Answer | None = ANSWER, method: str = "POST") -> Reply:
    """Ask a stand-in that gives everything the same answer."""
    return reply(method, path, json.dumps(body).encode(), lambda _prompt: answer, 7)


def chat(**more: Any) -> dict[str, Any]:
    """Make a chat request."""
    return {"model": "m", "messages": [{"role": "user", "content": "hello there"}], **more}


def events(got: Reply) -> list[dict[str, Any]]:
    """Return the data of a stream's events, without the last."""
    assert got.parts[-1] == b"data: [DONE]\n\n"
    return [json.loads(part.removeprefix(b"data: ")) for part in got.parts[:-1]]


def test_a_chat_completion():
    """One choice, usage, and the labels of a stand-in."""
    got = ask("/v1/chat/completions", chat())
    document = json.loads(got.body)
    assert got.status == 200
    assert document["choices"][0]["message"]["content"] == "one two three"
    assert document["choices"][0]["finish_reason"] == "stop"
    assert document["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    assert (document["model"], document["system_fingerprint"]) == (MODEL, FINGERPRINT)


def test_a_stream_adds_up_to_the_answer():
    """Role first, the text in pieces, the reason last; usage only where it was asked for."""
    text = "  a  b c d e f g h i j k l\nm n  "
    whole = events(ask("/v1/chat/completions", chat(stream=True), Answer(text, "length")))
    deltas = [event["choices"][0]["delta"] for event in whole]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == text
    assert len(deltas) > 3
    assert whole[-1]["choices"][0]["finish_reason"] == "length"
    assert {event["system_fingerprint"] for event in whole} == {FINGERPRINT}
    asked = events(ask("/v1/chat/completions", chat(stream=True, stream_options={"include_usage": True})))
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"]["completion_tokens"] == 3


def test_the_prompt_is_the_last_user_turn():
    """Whatever its shape."""
    heard = []

    def listen(prompt: str) -> Answer:
        heard.append(prompt)
        return Answer("x")

    parts = [{"type": "text", "text": "b"}]
    body = {
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "c"},
            {"role": "user", "content": parts},
        ]
    }
    reply("POST", "/v1/chat/completions?x=1", json.dumps(body).encode(), listen, 1)
    reply("POST", "/chat/completions", json.dumps(chat()).encode(), listen, 1)
    reply("POST", "/v1/completions", json.dumps({"prompt": "p"}).encode(), listen, 1)
    assert heard == ["b", "hello there", "p"]


def test_completions_and_embeddings_and_models():
    """The other endpoints that clients try first."""
    assert json.loads(ask("/v1/completions", {"prompt": "p"}).body)["choices"][0]["text"] == "one two three"
    two = json.loads(ask("/v1/embeddings", {"input": ["a", "b"]}).body)["data"]
    again = json.loads(ask("/v1/embeddings", {"input": "a"}).body)["data"]
    assert two[0]["embedding"] == again[0]["embedding"] != two[1]["embedding"]
    assert math.isclose(sum(x * x for x in two[0]["embedding"]), 1.0)
    assert json.loads(ask("/v1/models", {}, method="GET").body)["data"][0]["id"] == MODEL
    assert json.loads(ask(f"/v1/models/{MODEL}", {}, method="GET").body)["id"] == MODEL


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/nothing", b"{}", 404, "unknown_url"),
        ("GET", "/v1/chat/completions", b"", 404, "unknown_url"),
        ("POST", "/v1/chat/completions", b"{", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b'{"messages": 5}', 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b'{"messages": []}', 404, "no_recorded_answer"),
        ("POST", "/v1/completions", b"{}", 404, "no_recorded_answer"),
    ],
)
def test_what_it_cannot_answer_is_an_error_in_openais_shape(
    method: str, path: str, body: bytes, status: int, code: str
):
    """Never a made-up answer."""
    got = reply(method, path, body, lambda _prompt: None, 1)
    assert got.status == status
    assert json.loads(got.body)["error"]["code"] == code
