"""The endpoints whose answers are text: how to read their requests, answers and event streams.

Law: pure functions from bytes to values, for the mirror alone. Each endpoint is a row of `ENDPOINTS`; a request to
any other path is forwarded like all, counted as not judged and never copied. What a server adds or leaves out is no
error; only what is no JSON, or has another shape altogether, raises one of `UNREADABLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from proxy.endpoints import chat, completions, responses
from proxy.endpoints.shape import Answered, Asked


class Endpoint(msgspec.Struct, frozen=True):
    """A row of the table."""

    name: str
    read_request: Callable[[bytes], Asked]
    read_answer: Callable[[bytes], Answered]
    read_events: Callable[[Iterable[bytes]], Answered]


ENDPOINTS: dict[str, Endpoint] = {
    "chat.completions": Endpoint("chat.completions", chat.read_request, chat.read_answer, chat.read_events),
    "completions": Endpoint(
        "completions", completions.read_request, completions.read_answer, completions.read_events
    ),
    "responses": Endpoint("responses", responses.read_request, responses.read_answer, responses.read_events),
}

# The longest suffix first: `/chat/completions` ends in `/completions` too.
_SUFFIXES = (
    (b"/chat/completions", "chat.completions"),
    (b"/completions", "completions"),
    (b"/responses", "responses"),
)


def endpoint_of(method: str, path: bytes) -> str:
    """Return the endpoint's name, empty for one whose answer is not judged."""
    if method == "POST":
        for suffix, name in _SUFFIXES:
            if path.endswith(suffix):
                return name
    return ""
