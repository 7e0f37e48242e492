"""What reading an endpoint gives, and the readings all endpoints share.

Fields that servers fill freely are `Any` in the structs and narrowed here: a wrong type in one of them leaves that
fact out instead of losing the exchange.
"""

from __future__ import annotations

from typing import Any

import msgspec

# Larger counts are nonsense, and no encoding on the way holds them.
LARGEST = 2**53
# Token counts of an answer that has none.
UNCOUNTED = (None, None)

# What a JSON decoder raises for bytes that are no JSON of the shape.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What a request says. One is made for every exchange: a struct costs a quarter of what a tuple with names does."""

    prompt: str = ""
    model: str = ""
    stream: bool = False
    turns: int = 0
    context_chars: int = 0
    system_id: str = ""
    # The end user as the client names them; hashed before it goes anywhere.
    user: str = ""


class Answered(msgspec.Struct, frozen=True, gc=False):
    """What an answer says. `complete` is False when its own end mark is missing."""

    response: str | None = None
    model: str = ""
    finish_reason: str | None = None
    refused: bool = False
    reasoning: str | None = None
    tool_calls: tuple[str, ...] = ()
    prompt_tokens: int | None = None
    response_tokens: int | None = None
    complete: bool = True
    error: str | None = None


class Function(msgspec.Struct, gc=False):
    """A called function, whole or a part of a stream."""

    name: Any = None
    arguments: Any = None


class ToolCall(msgspec.Struct, gc=False):
    """A tool call, whole or a part of a stream."""

    index: Any = None
    function: Function | None = None


def text_or_none(value: Any) -> str | None:
    """Return a string, None for anything else."""
    return value if isinstance(value, str) else None


def text_of(value: Any) -> str:
    """Return a string, an empty one for anything else."""
    return value if isinstance(value, str) else ""


def call_text(name: Any, arguments: Any) -> str:
    """Write a tool call as text: `name(arguments)`."""
    return f"{text_of(name)}({text_of(arguments)})"


class Usage(msgspec.Struct, gc=False):
    """Counts of tokens under their two namings; the details that servers add are not decoded."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    input_tokens: Any = None
    output_tokens: Any = None


# Whatever else stands in its place is no reason to lose an answer.
AnyUsage = Usage | list[Any] | str | int | float | bool | None


def tokens(usage: AnyUsage) -> tuple[int | None, int | None]:
    """Read prompt and response tokens from a usage object of either naming; None where absent."""
    if type(usage) is not Usage:
        return UNCOUNTED
    asked, answered = usage.prompt_tokens, usage.completion_tokens
    if type(asked) is type(answered) is int and 0 <= asked <= LARGEST and 0 <= answered <= LARGEST:
        return asked, answered
    return _count(asked, usage.input_tokens), _count(answered, usage.output_tokens)


def _count(number: Any, other: Any) -> int | None:
    if type(number) is not int:
        number = other
    # A decoder's own types: a bool is not a count.
    return number if type(number) is int and 0 <= number <= LARGEST else None


def error_code(error: Any) -> str | None:
    """Name an error object of an answer: its code, else its type; None where there is no error."""
    if not error:
        return None
    if isinstance(error, dict):
        for key in ("code", "type"):
            value = error.get(key)
            if isinstance(value, str) and value:
                return value[:80]
            if isinstance(value, int) and 0 < value <= LARGEST:
                return str(value)
    return "error"


def user_of(safety_identifier: Any, user: Any) -> str:
    """Return how the client names its end user; empty when it does not."""
    if safety_identifier is user is None:
        return ""
    return text_of(safety_identifier) or text_of(user)
