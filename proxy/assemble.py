"""From a capture to an exchange: decode, read, redact. Runs in the mirror's writer thread.

Law: pure, and it never raises for what a client or an upstream sent: a body that cannot be read gives an exchange
without that text and with a reason in `error`. Reasons of ours: `request_malformed`, `response_malformed`,
`stream_truncated`, the codings' and the transport's codes. A partial answer is flagged `complete=False`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec

from monitor.contract import Exchange
from proxy.capture import Capture
from proxy.coding import CodingError, decode_body
from proxy.endpoints import ENDPOINTS, Endpoint
from proxy.endpoints.shape import UNREADABLE, Answered, Asked, error_code
from proxy.redact import Redactor
from proxy.sse import BOM, event_data, looks_like_events

MALFORMED = frozenset({"request_malformed", "response_malformed", "coding_damaged", "coding_unknown"})
_Read = TypeVar("_Read")


class Assembler(NamedTuple):
    """What assembling needs beside the capture. `salt` keeps the hash of a user from being guessed."""

    redact: Redactor
    salt: bytes
    max_decoded: int

    def __call__(self, capture: Capture) -> Exchange:
        """Return the exchange of a capture."""
        endpoint = ENDPOINTS[capture.endpoint]
        asked, request_error = _read_request(endpoint, capture, self.max_decoded)
        answered = _read_answer(endpoint, capture, self.max_decoded)
        redact = self.redact.for_texts(_texts(asked, answered))
        return Exchange(
            id=capture.id,
            time=capture.time,
            prompt=redact(asked.prompt),
            response=None if answered.response is None else redact(answered.response),
            route=capture.route,
            arm=capture.arm,
            variant=capture.variant,
            model=redact(answered.model or asked.model),
            endpoint=capture.endpoint,
            status=capture.status,
            complete=answered.complete and not capture.end,
            finish_reason=None if answered.finish_reason is None else redact(answered.finish_reason),
            refused=answered.refused,
            reasoning=None if answered.reasoning is None else redact(answered.reasoning),
            tool_calls=tuple(redact(call) for call in answered.tool_calls),
            turns=asked.turns,
            context_chars=asked.context_chars,
            system_id=asked.system_id,
            prompt_tokens=answered.prompt_tokens,
            response_tokens=answered.response_tokens,
            latency_s=capture.ended - capture.began,
            ttft_s=None if capture.first_byte is None else capture.first_byte - capture.began,
            stream=asked.stream,
            user=self.user_hash(asked.user) if asked.user else capture.user or None,
            error=capture.end or (redact(answered.error) if answered.error else request_error),
        )

    def user_hash(self, value: str) -> str:
        """Return 12 hexadecimal digits for whatever identifies a user (BLAKE2b, keyed with the salt)."""
        return user_hash(value.encode("utf-8", "replace"), self.salt)


def _texts(asked: Asked, answered: Answered) -> list[str]:
    """Return every text of an exchange that is written down."""
    texts = [asked.prompt, asked.model, answered.model, *answered.tool_calls]
    for text in (answered.response, answered.finish_reason, answered.reasoning, answered.error):
        if text:
            texts.append(text)  # noqa: PERF401 - a comprehension costs a call, and this runs for every exchange
    return texts


def user_hash(value: bytes, salt: bytes) -> str:
    """Return 12 hexadecimal digits for whatever identifies a user (BLAKE2b, keyed with the salt)."""
    return hashlib.blake2b(value, digest_size=6, key=salt).hexdigest()


def _read_request(endpoint: Endpoint, capture: Capture, limit: int) -> tuple[Asked, str | None]:
    try:
        body = _body(capture.request, capture.request_coding, limit)
        return _leniently(endpoint.read_request, body), None
    except CodingError as error:
        return Asked(), str(error)
    except UNREADABLE:
        return Asked(), "request_malformed"


def _read_answer(endpoint: Endpoint, capture: Capture, limit: int) -> Answered:
    if not capture.status:
        return Answered(complete=False)
    try:
        body = _body(capture.response, capture.content_coding, limit)
    except CodingError as error:
        return Answered(complete=False, error=str(error))
    if capture.status >= 400:
        return Answered(error=_error_of(body) or f"http_{capture.status}")
    if body[:1] != b"{" and (b"event-stream" in capture.content_type or looks_like_events(body)):
        return _read_stream(endpoint, body, cut_short=bool(capture.end))
    try:
        return _leniently(endpoint.read_answer, body)
    except UNREADABLE:
        return Answered(complete=False, error="response_malformed")


def _read_stream(endpoint: Endpoint, body: bytes, *, cut_short: bool) -> Answered:
    events = list(event_data(body))
    try:
        answered = _leniently_events(endpoint, events)
    except UNREADABLE:
        # A stream that was cut short ends in half an event, which is nobody's mistake.
        if not cut_short:
            return Answered(complete=False, error="response_malformed")
        try:
            return _leniently_events(endpoint, events[:-1])
        except UNREADABLE:
            return Answered(complete=False, error="response_malformed")
    if not answered.complete and answered.error is None:
        return answered._replace(error="stream_truncated")
    return answered


def _leniently_events(endpoint: Endpoint, events: list[bytes]) -> Answered:
    try:
        return endpoint.read_events(events)
    except UNREADABLE:
        return endpoint.read_events([_valid_utf8(data) for data in events])


def _leniently(read: Callable[[bytes], _Read], body: bytes) -> _Read:
    """Read a body; where that fails, once more with invalid UTF-8 replaced and a byte order mark removed."""
    try:
        return read(body)
    except UNREADABLE:
        return read(_valid_utf8(body.removeprefix(BOM)))


def _valid_utf8(data: bytes) -> bytes:
    return data.decode("utf-8", "replace").encode()


def _body(chunks: list[bytes], coding: bytes, limit: int) -> bytes:
    joined = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return decode_body(joined, coding, limit) if coding else joined


class _Failed(msgspec.Struct):
    error: object = None


_failed = msgspec.json.Decoder(_Failed)


def _error_of(body: bytes) -> str | None:
    try:
        return error_code(_failed.decode(body).error)
    except UNREADABLE:
        return None
