"""Chat completions: the first choice is what is judged; its text, tool calls, refusal and reasoning.

Reference: OpenAI's chat completions API. `reasoning_content` (DeepSeek, vLLM) and `reasoning` (OpenRouter, newer
vLLM) are read too. In a stream the parts of a tool call share an index.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from monitor.contract.messages import Message, content_text, read_conversation
from proxy.endpoints.shape import (
    UNCOUNTED,
    Answered,
    AnyUsage,
    Asked,
    Function,
    ToolCall,
    call_text,
    error_code,
    text_of,
    text_or_none,
    tokens,
    user_of,
)


class _Request(msgspec.Struct, gc=False):
    messages: list[Message] | None = None
    model: Any = None
    stream: Any = None
    user: Any = None
    safety_identifier: Any = None


class _AnyRequest(_Request, gc=False):
    """The request of a client whose messages are something else, or hold something else."""

    messages: Any = None


class _Message(msgspec.Struct, gc=False):
    """A message, or a stream's delta."""

    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    message: _Message | None = None
    delta: _Message | None = None
    finish_reason: Any = None


class _Answer(msgspec.Struct, gc=False):
    """A whole answer, or a stream's chunk."""

    choices: list[_Choice] | None = None
    model: Any = None
    usage: AnyUsage = None
    error: Any = None


_request, _any_request = msgspec.json.Decoder(_Request), msgspec.json.Decoder(_AnyRequest)
_answer = msgspec.json.Decoder(_Answer)


def read_request(body: bytes) -> Asked:
    """Read a request. Raises what is `UNREADABLE`."""
    try:
        request = _request.decode(body)
    except msgspec.ValidationError:
        request = _any_request.decode(body)
    talk = read_conversation(request.messages if isinstance(request.messages, list) else ())
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
    answer = _answer.decode(body)
    choice = _judged(answer.choices)
    message = choice.message if choice else None
    if choice is None or message is None:
        return Answered(
            model=text_of(answer.model), complete=False, error=error_code(answer.error) or "no_choice"
        )
    # Most answers have a text and nothing else beside it.
    refusal = text_of(message.refusal) if message.refusal else ""
    prompt_tokens, response_tokens = tokens(answer.usage)
    return Answered(
        content_text(message.content) or refusal,
        text_of(answer.model),
        text_or_none(choice.finish_reason),
        bool(refusal),
        (_reasoning(message) or None) if message.reasoning_content or message.reasoning else None,
        _calls(message) if message.tool_calls or message.function_call else (),
        prompt_tokens,
        response_tokens,
        error=error_code(answer.error) if answer.error else None,
    )


def _judged(choices: list[_Choice] | None) -> _Choice | None:
    for choice in choices or ():
        if choice.index in (0, None):
            return choice
    return None


def _reasoning(message: _Message) -> str:
    return text_of(message.reasoning_content) or text_of(message.reasoning)


def _calls(message: _Message) -> tuple[str, ...]:
    calls = [call.function for call in message.tool_calls or () if call.function]
    if message.function_call:
        calls.append(message.function_call)
    return tuple(call_text(call.name, call.arguments) for call in calls)


class _Stream:
    """What a stream's chunks add up to."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.refusal: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[Any, list[str]] = {}
        self.model = ""
        self.finish: str | None = None
        self.counted: tuple[int | None, int | None] = UNCOUNTED
        self.error: str | None = None
        self.done = False

    def add(self, chunk: _Answer) -> None:
        """Add a chunk."""
        self.model = self.model or text_of(chunk.model)
        if chunk.usage is not None and (counted := tokens(chunk.usage)) != UNCOUNTED:
            self.counted = counted
        self.error = error_code(chunk.error) or self.error
        for choice in chunk.choices or ():
            if choice.index in (0, None):
                self.finish = text_or_none(choice.finish_reason) or self.finish
                if choice.delta or choice.message:
                    self._add_delta(choice.delta or choice.message)

    def _add_delta(self, delta: _Message | None) -> None:
        if delta is None:
            return
        if delta.content:
            self.text.append(content_text(delta.content))
        if delta.refusal:
            self.refusal.append(text_of(delta.refusal))
        if delta.reasoning_content or delta.reasoning:
            self.reasoning.append(_reasoning(delta))
        for call in delta.tool_calls or ():
            self._add_call(call.index, call.function)
        if delta.function_call:
            self._add_call("function_call", delta.function_call)

    def _add_call(self, index: Any, function: Function | None) -> None:
        if function is None:
            return
        key = index if isinstance(index, int | str) else 0
        name_and_arguments = self.calls.setdefault(key, ["", ""])
        name_and_arguments[0] = name_and_arguments[0] or text_of(function.name)
        name_and_arguments[1] += text_of(function.arguments)


def read_events(events: Iterable[bytes]) -> Answered:
    """Read a stream. Raises what is `UNREADABLE`."""
    stream = _Stream()
    for data in events:
        if data.startswith(b"[DONE]"):
            stream.done = True
        elif data:
            stream.add(_answer.decode(data))
    prompt_tokens, response_tokens = stream.counted
    refusal = "".join(stream.refusal)
    return Answered(
        "".join(stream.text) or refusal,
        stream.model,
        stream.finish,
        bool(refusal),
        "".join(stream.reasoning) or None,
        tuple(call_text(name, arguments) for name, arguments in stream.calls.values()),
        prompt_tokens,
        response_tokens,
        (stream.done or stream.finish is not None) and stream.error is None,
        stream.error,
    )
