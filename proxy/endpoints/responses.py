"""Responses: the output items of a response object; in a stream the final object, else the deltas before it.

Reference: OpenAI's responses API. The finish reason is told in the words of chat completions: `stop`, `length`,
`content_filter`, `tool_calls`, so that one baseline can hold both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from monitor.contract.messages import read_conversation
from proxy.endpoints.shape import Answered, AnyUsage, Asked, call_text, error_code, text_of, tokens, user_of

_FINISH_OF_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}
_UNFINISHED = frozenset({"failed", "in_progress", "cancelled", "queued"})
_FINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
_CALL_ITEMS = frozenset({"function_call", "custom_tool_call", "mcp_call"})


class _Request(msgspec.Struct):
    input: Any = None
    instructions: Any = None
    model: Any = None
    stream: Any = None
    user: Any = None
    safety_identifier: Any = None


class _Item(msgspec.Struct):
    """An output item: a message, a tool call or reasoning."""

    type: Any = None
    content: Any = None
    summary: Any = None
    name: Any = None
    arguments: Any = None
    input: Any = None


class _Response(msgspec.Struct):
    output: list[_Item] | None = None
    model: Any = None
    status: Any = None
    incomplete_details: Any = None
    usage: AnyUsage = None
    error: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    delta: Any = None
    item: _Item | None = None
    response: _Response | None = None
    error: Any = None
    code: Any = None


_request = msgspec.json.Decoder(_Request)
_response = msgspec.json.Decoder(_Response)
_event = msgspec.json.Decoder(_Event)


def read_request(body: bytes) -> Asked:
    """Read a request. Raises what is `UNREADABLE`."""
    request = _request.decode(body)
    asked = request.input
    messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    talk = read_conversation(messages if isinstance(messages, list) else (), text_of(request.instructions))
    return Asked(
        talk.prompt,
        text_of(request.model),
        request.stream is True,
        talk.turns,
        talk.context_chars,
        talk.system_id,
        user_of(request.safety_identifier, request.user),
    )


def read_answer(body: bytes) -> Answered:
    """Read a whole answer. Raises what is `UNREADABLE`."""
    return _read(_response.decode(body))


class _Output:
    """The parts of output items, sorted by what they are."""

    def __init__(self, items: Iterable[_Item]) -> None:
        self.text: list[str] = []
        self.refusal: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[str] = []
        for item in items:
            self._add(item)

    def _add(self, item: _Item) -> None:
        if item.type == "message":
            for part in _parts(item.content):
                self.text.append(text_of(part.get("text")))
                self.refusal.append(text_of(part.get("refusal")))
        elif item.type == "reasoning":
            parts = [*_parts(item.content), *_parts(item.summary)]
            self.reasoning += [text_of(part.get("text")) for part in parts]
        elif text_of(item.type) in _CALL_ITEMS:
            self.calls.append(call_text(item.name, item.arguments or item.input))


def _parts(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _read(response: _Response) -> Answered:
    output = _Output(response.output or ())
    prompt_tokens, response_tokens = tokens(response.usage)
    error = error_code(response.error)
    if response.output is None and error is None:
        error = "no_output"
    refusal = "".join(output.refusal)
    return Answered(
        None if response.output is None else "".join(output.text) or refusal,
        text_of(response.model),
        _finish(response, called=bool(output.calls)),
        bool(refusal),
        "\n".join(output.reasoning) or None,
        tuple(output.calls),
        prompt_tokens,
        response_tokens,
        response.output is not None and text_of(response.status) not in _UNFINISHED,
        error,
    )


def _finish(response: _Response, *, called: bool) -> str | None:
    if response.status == "incomplete":
        details = response.incomplete_details
        reason = text_of(details.get("reason")) if isinstance(details, dict) else ""
        return _FINISH_OF_INCOMPLETE.get(reason, reason or "length")
    if response.status is None or response.status == "completed":
        return "tool_calls" if called else "stop"
    return None


def read_events(events: Iterable[bytes]) -> Answered:
    """Read a stream. Raises what is `UNREADABLE`."""
    text: list[str] = []
    refusal: list[str] = []
    items: list[_Item] = []
    error = None
    for data in events:
        if not data or data.startswith(b"[DONE]"):
            continue
        event = _event.decode(data)
        if event.type == "response.output_text.delta":
            text.append(text_of(event.delta))
        elif event.type == "response.refusal.delta":
            refusal.append(text_of(event.delta))
        elif event.type == "response.output_item.done" and event.item:
            items.append(event.item)
        elif event.response and text_of(event.type) in _FINAL:
            return _read(_with_items(event.response, items))
        elif event.type == "error":
            error = error_code(event.error) or text_of(event.code) or "error"
    said = "".join(text) or "".join(refusal)
    calls = tuple(_Output(items).calls)
    return Answered(said, refused=bool(refusal), tool_calls=calls, complete=False, error=error)


def _with_items(response: _Response, items: list[_Item]) -> _Response:
    # Some servers leave the final object's output empty; the finished items say the same.
    if not response.output and items:
        response.output = items
    return response
