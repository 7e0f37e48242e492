"""What the scripted model of the client tests says, in OpenAI's shapes.

Law: pure; a request's document in, an answer out. The text of the last user message picks the scene, because
some clients take only model names that they know. Everything else follows from what the request asks for: a schema is
answered with JSON, offered tools with a call, a tool's result with words. Shapes: OpenAI's API reference of chat
completions, responses, embeddings and errors.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

TEXT = "Grüße aus Köln 🌍 — “quoted”,\nsecond line, 漢字 and an end."
AFTER_TOOL = "It is 21 degrees in Paris."
WEATHER = {"city": "Paris", "celsius": 21}
VECTORS = ((0.5, 0.25, -1.0), (1.0, 0.0, -0.125))
USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
_RESPONSES_USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 21,
}


class Answer(NamedTuple):
    """A whole answer (`document`), or a stream of events, without end if `endless`."""

    status: int = 200
    headers: tuple[str, ...] = ()
    document: Any = None
    events: tuple[bytes, ...] = ()
    endless: bool = False


def error(status: int, code: str, message: str, *headers: str, param: str | None = None) -> Answer:
    """Refuse in OpenAI's shape."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
    return Answer(status, headers, body)


BUSY = error(
    429, "rate_limit_exceeded", "Slow down, please.", "retry-after: 7", "x-ratelimit-remaining-requests: 0"
)
BUSY_ONCE = error(429, "rate_limit_exceeded", "Once more, please.", "retry-after: 1")
WRONG = error(400, "context_length_exceeded", "Too long: 9 tokens of 8.", param="messages")
REFUSALS = {"busy": BUSY, "busy once": BUSY_ONCE, "wrong": WRONG}


def answer(path: str, asked: dict[str, Any], attempt: int) -> Answer:
    """Answer one request; `attempt` counts those of the same scene, from 1."""
    scene = last_words(asked)
    if scene in REFUSALS and not (scene == "busy once" and attempt > 1):
        return REFUSALS[scene]
    if path.endswith("/embeddings"):
        return Answer(document=embeddings(asked))
    if path.endswith("/chat/completions"):
        return _chat(asked, endless=scene == "endless")
    if path.endswith("/responses"):
        return _responses(asked, endless=scene == "endless")
    return error(404, "unknown_url", f"Nothing is served at {path}.")


def last_words(asked: dict[str, Any]) -> str:
    """Return the text of the last user message of a chat or of responses' `input`; empty without one."""
    messages = asked.get("messages", asked.get("input", ()))
    if isinstance(messages, str):
        return messages
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message["content"]
            return content if isinstance(content, str) else "".join(part["text"] for part in content)
    return ""


def embeddings(asked: dict[str, Any]) -> dict[str, Any]:
    """Return one vector for each input, as numbers or in base64 as asked."""
    given = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    data = []
    for index, _ in enumerate(given):
        vector: Any = list(VECTORS[index % len(VECTORS)])
        if asked.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    return {"object": "list", "model": asked["model"], "data": data, "usage": usage}


def _said(asked: dict[str, Any], *, schema: bool, told: bool) -> str | None:
    """Choose the words of an answer; None: call the first tool instead."""
    if schema:
        return json.dumps(WEATHER)
    if told:
        return AFTER_TOOL
    return None if asked.get("tools") else TEXT


def _pieces(text: str) -> list[str]:
    return [text[at : at + 7] for at in range(0, len(text), 7)]


# Chat completions.


def _chat(asked: dict[str, Any], *, endless: bool) -> Answer:
    schema = (asked.get("response_format") or {}).get("type") == "json_schema"
    told = [message for message in asked["messages"] if message["role"] == "tool"]
    if told and told[-1]["tool_call_id"] != "call_1":
        return error(400, "unknown_tool_call", "No such tool call.", param="messages")
    text = _said(asked, schema=schema, told=bool(told))
    if endless:
        head = _chunk(asked, {"role": "assistant", "content": ""})
        return Answer(events=(head, _chunk(asked, {"content": "and on "})), endless=True)
    if asked.get("stream"):
        return Answer(events=tuple(_chat_events(asked, text)))
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if text is None:
        message["tool_calls"] = [_call(asked["tools"][0]["function"]["name"], json.dumps({"city": "Paris"}))]
    finish = "tool_calls" if text is None else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return Answer(document=_completion(asked, "chat.completion") | {"choices": [choice], "usage": USAGE})


def _call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


def _completion(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": asked["model"]}


def _chunk(asked: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _sse(_completion(asked, "chat.completion.chunk") | {"choices": [choice]})


def _chat_events(asked: dict[str, Any], text: str | None) -> Iterator[bytes]:
    if text is None:
        first = {"index": 0, **_call(asked["tools"][0]["function"]["name"], "")}
        yield _chunk(asked, {"role": "assistant", "content": None, "tool_calls": [first]})
        for part in _pieces(json.dumps({"city": "Paris"})):
            yield _chunk(asked, {"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
        yield _chunk(asked, {}, "tool_calls")
    else:
        yield _chunk(asked, {"role": "assistant", "content": ""})
        for part in _pieces(text):
            yield _chunk(asked, {"content": part})
        yield _chunk(asked, {}, "stop")
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield _sse(_completion(asked, "chat.completion.chunk") | {"choices": [], "usage": USAGE})
    yield b"data: [DONE]\n\n"


def _sse(document: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()


# Responses.


def _responses(asked: dict[str, Any], *, endless: bool) -> Answer:
    schema = ((asked.get("text") or {}).get("format") or {}).get("type") == "json_schema"
    items = asked["input"] if isinstance(asked["input"], list) else []
    told = [item for item in items if item.get("type") == "function_call_output"]
    if told and told[-1]["call_id"] != "call_1":
        return error(400, "unknown_tool_call", "No such tool call.", param="input")
    text = _said(asked, schema=schema, told=bool(told))
    item = _message(text) if text is not None else _function_call(asked["tools"][0]["name"])
    if endless:
        head = tuple(_response_events(asked, _message("and on "), ["and on "]))
        return Answer(events=head[:5], endless=True)
    if not asked.get("stream"):
        return Answer(document=_response(asked, "completed", [item]))
    pieces = _pieces(text if text is not None else item["arguments"])
    return Answer(events=tuple(_response_events(asked, item, pieces)))


def _message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}


def _function_call(name: str) -> dict[str, Any]:
    arguments = json.dumps({"city": "Paris"})
    return {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


def _response(asked: dict[str, Any], status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": asked["model"],
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": asked.get("tools", []),
        "top_p": 1.0,
        "usage": _RESPONSES_USAGE if status == "completed" else None,
    }


def _response_events(asked: dict[str, Any], item: dict[str, Any], pieces: list[str]) -> Iterator[bytes]:
    """Tell an answer as events: 4 before the first piece for a message, 3 for a call."""
    number = 0

    def event(kind: str, **fields: Any) -> bytes:
        nonlocal number
        number += 1
        return _sse({"type": kind, "sequence_number": number - 1, **fields}, kind)

    at = {"item_id": item["id"], "output_index": 0}
    empty = item | {"status": "in_progress"} | ({"content": []} if "content" in item else {"arguments": ""})
    yield event("response.created", response=_response(asked, "in_progress", []))
    yield event("response.in_progress", response=_response(asked, "in_progress", []))
    yield event("response.output_item.added", output_index=0, item=empty)
    if item["type"] == "message":
        part, at = item["content"][0], at | {"content_index": 0}
        yield event("response.content_part.added", **at, part=part | {"text": ""})
        for piece in pieces:
            yield event("response.output_text.delta", **at, delta=piece, logprobs=[])
        yield event("response.output_text.done", **at, text=part["text"], logprobs=[])
        yield event("response.content_part.done", **at, part=part)
    else:
        for piece in pieces:
            yield event("response.function_call_arguments.delta", **at, delta=piece)
        yield event(
            "response.function_call_arguments.done", **at, name=item["name"], arguments=item["arguments"]
        )
    yield event("response.output_item.done", output_index=0, item=item)
    yield event("response.completed", response=_response(asked, "completed", [item]))
