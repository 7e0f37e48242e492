"""A provider that does not speak OpenAI, through the real litellm, against a server that speaks Anthropic's API."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.proxy.processes import RunningProxy

Serve = Callable[[type[BaseHTTPRequestHandler]], str]
USER = [{"role": "user", "content": "hello"}]
USAGE = {"input_tokens": 5, "output_tokens": 2}
MESSAGE = {"id": "m1", "type": "message", "role": "assistant", "model": "claude-x"}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None, "usage": USAGE}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "world"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]


class Anthropic(BaseHTTPRequestHandler):
    """Answers `/v1/messages`."""

    protocol_version = "HTTP/1.1"
    keys: list[str | None] = []  # noqa: RUF012 - filled by the server's threads, read by the test

    def do_POST(self) -> None:
        """Answer by model."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.keys.append(self.headers.get("x-api-key"))
        if asked["model"] == "busy":
            error = {"type": "rate_limit_error", "message": "slow down"}
            self._send(429, "application/json", json.dumps({"type": "error", "error": error}))
        elif asked.get("stream"):
            text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in EVENTS)
            self._send(200, "text/event-stream", text)
        else:
            content = [{"type": "text", "text": "Hello world"}]
            whole = {**MESSAGE, "content": content, "stop_reason": "end_turn", "usage": USAGE}
            self._send(200, "application/json", json.dumps(whole))

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_anthropic_in_openais_shape(tmp_path: Path, serve: Serve) -> None:
    """Whole answers, streams and errors come in OpenAI's shape; other endpoints and addresses are refused."""
    upstream = serve(Anthropic)
    routes = [
        {
            "name": "r",
            "match": match,
            "variant": {"provider": "litellm", "upstream": upstream, "model": model},
        }
        for match, model in (("good", "anthropic/claude-x"), ("busy", "anthropic/busy"))
    ]
    routes[1]["name"] = "busy"
    with (
        RunningProxy(tmp_path, {"routes": routes}) as proxy,
        openai.OpenAI(base_url=proxy.base + "/v1", api_key="sk-ant-1", max_retries=0) as client,
    ):
        elsewhere = {"api_base": "http://127.0.0.1:1"}
        chat = client.chat.completions.create(model="good", messages=USER, extra_body=elsewhere)  # type: ignore[arg-type]
        assert (chat.choices[0].message.content, chat.choices[0].finish_reason) == ("Hello world", "stop")
        assert chat.usage
        assert chat.usage.completion_tokens == 2
        stream = client.chat.completions.create(model="good", messages=USER, stream=True)  # type: ignore[call-overload]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hello world"
        with pytest.raises(openai.RateLimitError) as busy:
            client.chat.completions.create(model="busy", messages=USER)  # type: ignore[arg-type]
        assert "slow down" in busy.value.message
        with pytest.raises(openai.APIStatusError) as unsupported:
            client.embeddings.create(model="good", input="x")
        assert (unsupported.value.status_code, unsupported.value.code) == (501, "endpoint_unsupported")
        proxy.wait_for(lambda: proxy.mirror()["mirrored"] == 3)
    assert set(Anthropic.keys) == {"sk-ant-1"}
