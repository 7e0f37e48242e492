"""From a list of chat messages to the text that is judged.

The prompt of a conversation is its last user turn: what the model was asked now. What came before is counted
(`turns`, `context_chars`) and the system prompt is reduced to a short hash, so that its change is visible.
Shapes follow the OpenAI chat completions and responses references: content is a string or a list of typed parts.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

# Tuples: what a client sends in these places need not be hashable.
_TEXT_PARTS = ("text", "input_text", "output_text")
_SYSTEM_ROLES = ("system", "developer")
_REMEMBERED_CHARS = 8192


class Message(msgspec.Struct, gc=False):
    """A chat message of which only what is read here was decoded; a dict with these keys means the same."""

    role: Any = "user"
    content: Any = None


class Conversation(msgspec.Struct, frozen=True, gc=False):
    """What the judged text keeps of a conversation."""

    prompt: str
    turns: int
    context_chars: int
    system_id: str


def content_text(content: Any) -> str:
    """Return the text of a message's content; a part that is not text becomes its type in brackets."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(text for part in content if (text := _part_text(part)))


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    if part.get("type", "text") in _TEXT_PARTS:
        text = part.get("text")
        return text if isinstance(text, str) else ""
    return f"[{part.get('type')}]"


def short_hash(text: str) -> str:
    """Return 12 hexadecimal digits that identify a text without revealing it (BLAKE2b)."""
    return _remembered_hash(text) if len(text) <= _REMEMBERED_CHARS else _hash(text)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


# The same few system prompts come again and again.
_remembered_hash = functools.lru_cache(maxsize=64)(_hash)


def read_conversation(messages: Sequence[Any], instructions: str = "") -> Conversation:
    """Reduce chat messages (`Message`, or dicts with its keys) to what is judged. Malformed items are ignored."""
    system, turns, prompt, chars = [instructions] if instructions else [], 0, "", len(instructions)
    for message in messages:
        if type(message) is Message:
            role, content = message.role, message.content
        elif isinstance(message, dict):
            role, content = message.get("role", "user"), message.get("content")
        else:
            continue
        text = content if isinstance(content, str) else content_text(content)
        chars += len(text)
        if role == "user":
            turns += 1
            prompt = text or prompt
        elif role in _SYSTEM_ROLES:
            system.append(text)
        else:
            turns += 1
    system_id = short_hash("\n".join(system)) if system else ""
    return Conversation(prompt, turns - 1 if turns else 0, chars, system_id)
