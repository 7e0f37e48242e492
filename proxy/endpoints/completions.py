"""Completions (the older text endpoint): the first prompt and the first choice are what is judged.

Reference: OpenAI's completions API. A prompt of token ids has no text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from proxy.endpoints.shape import (
    UNCOUNTED,
    Answered,
    AnyUsage,
    Asked,
    error_code,
    text_of,
    text_or_none,
    tokens,
    user_of,
)


class _Request(msgspec.Struct):
    prompt: Any = None
    model: Any = None
    stream: Any = None
    user: Any = None
    safety_identifier: Any = None


class _Choice(msgspec.Struct):
    index: Any = 0
    text: Any = None
    finish_reason: Any = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    model: Any = None
    usage: AnyUsage = None
    error: Any = None


_request = msgspec.json.Decoder(_Request)
_answer = msgspec.json.Decoder(_Answer)


def read_request(body: bytes) -> Asked:
    """Read a request. Raises what is `UNREADABLE`."""
    request = _request.decode(body)
    prompt = request.prompt
    if isinstance(prompt, list):
        prompt = prompt[0] if prompt else ""
    text = text_of(prompt)
    return Asked(
        text,
        text_of(request.model),
        request.stream is True,
        context_chars=len(text),
        user=user_of(request.safety_identifier, request.user),
    )


def read_answer(body: bytes) -> Answered:
    """Read a whole answer. Raises what is `UNREADABLE`."""
    read = _read([_answer.decode(body)])
    found = read.response is not None
    return replace(read, complete=found, error=read.error or (None if found else "no_choice"))


def read_events(events: Iterable[bytes]) -> Answered:
    """Read a stream. Raises what is `UNREADABLE`."""
    chunks, done = [], False
    for data in events:
        if data.startswith(b"[DONE]"):
            done = True
        elif data:
            chunks.append(_answer.decode(data))
    read = _read(chunks)
    complete = (done or read.finish_reason is not None) and read.error is None
    return replace(read, response=read.response or "", complete=complete)


def _read(chunks: list[_Answer]) -> Answered:
    text, finish, error, model, found = [], None, None, "", False
    counted: tuple[int | None, int | None] = UNCOUNTED
    for chunk in chunks:
        model = model or text_of(chunk.model)
        if (mine := tokens(chunk.usage)) != UNCOUNTED:
            counted = mine
        error = error_code(chunk.error) or error
        for choice in chunk.choices or ():
            if choice.index in (0, None):
                found = True
                text.append(text_of(choice.text))
                finish = text_or_none(choice.finish_reason) or finish
    prompt_tokens, response_tokens = counted
    return Answered(
        "".join(text) if found else None,
        model,
        finish,
        prompt_tokens=prompt_tokens,
        response_tokens=response_tokens,
        error=error,
    )
