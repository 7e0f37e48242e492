"""From a capture to an exchange: decode, read, redact. Runs in the mirror's writer thread.

Law: pure, and it never raises for what a client or an upstream sent: a body that cannot be read gives an exchange
without that text and with a reason in `error`. Reasons of ours: `request_malformed`, `response_malformed`,
`stream_truncated`, the codings' and the transport's codes. A partial answer is flagged `complete=False`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from monitor.contract import Exchange
from proxy.capture import Capture
from proxy.coding import CodingError, decode_body
from proxy.endpoints import ENDPOINTS, Endpoint
from proxy.endpoints.shape import UNREADABLE, Answered, Asked, error_code
from proxy.redact import Redactor
from proxy.sse import BOM, event_data, looks_like_events

MALFORMED = frozenset({"request_malformed", "response_malformed", "coding_damaged", "coding_unknown"})


@dataclass(frozen=True, slots=True)
class Assembler:
    """What assembling needs beside the capture. `salt` keeps the hash of a user from being guessed."""

    redact: Redactor
    salt: bytes
    max_decoded: int

    def __call__(self, capture: Capture) -> Exchange:
        """Return the exchange of a capture."""
        endpoint = ENDPOINTS[capture.endpoint]
        asked, request_error = _read_request(endpoint, capture, self.max_decoded)
        answered = _read_answer(endpoint, capture, self.max_decoded)
        if self.redact.may_change(_together(asked, answered)):
            asked, answered = self._redacted(asked, answered)
        began, first_byte = capture.began, capture.first_byte
        # In the order of the fields: by name it would take 1.0 microsecond, not 0.2.
        return Exchange(
            capture.id,
            capture.time,
            asked.prompt,
            answered.response,
            capture.route,
            capture.arm,
            capture.variant,
            answered.model or asked.model,
            capture.endpoint,
            capture.status,
            answered.complete and not capture.end,
            answered.finish_reason,
            answered.refused,
            answered.reasoning,
            answered.tool_calls,
            asked.turns,
            asked.context_chars,
            asked.system_id,
            answered.prompt_tokens,
            answered.response_tokens,
            capture.ended - began,
            None if first_byte is None else first_byte - began,
            asked.stream,
            self.user_hash(asked.user) if asked.user else capture.user or None,
            capture.end or answered.error or request_error,
        )

    def _redacted(self, asked: Asked, answered: Answered) -> tuple[Asked, Answered]:
        redact = self.redact
        return replace(asked, prompt=redact(asked.prompt)), replace(
            answered,
            response=None if answered.response is None else redact(answered.response),
            model=redact(answered.model or asked.model),
            finish_reason=None if answered.finish_reason is None else redact(answered.finish_reason),
            reasoning=None if answered.reasoning is None else redact(answered.reasoning),
            tool_calls=tuple(redact(call) for call in answered.tool_calls),
            error=None if answered.error is None else redact(answered.error),
        )

    def user_hash(self, value: str) -> str:
        """Return 12 hexadecimal digits for whatever identifies a user (BLAKE2b, keyed with the salt)."""
        return user_hash(value.encode("utf-8", "replace"), self.salt)


def _together(asked: Asked, answered: Answered) -> str:
    """Return every text of an exchange that is written down, line by line."""
    main = f"{asked.prompt}\n{answered.response}\n{asked.model}\n{answered.model}\n{answered.finish_reason}"
    if answered.tool_calls or answered.reasoning or answered.error:
        return "\n".join([main, answered.reasoning or "", answered.error or "", *answered.tool_calls])
    return main


def user_hash(value: bytes, salt: bytes) -> str:
    """Return 12 hexadecimal digits for whatever identifies a user (BLAKE2b, keyed with the salt)."""
    return hashlib.blake2b(value, digest_size=6, key=salt).hexdigest()


def _read_request(endpoint: Endpoint, capture: Capture, limit: int) -> tuple[Asked, str | None]:
    chunks, coding = capture.request, capture.request_coding
    try:
        body = chunks[0] if len(chunks) == 1 and not coding else _body(chunks, coding, limit)
    except CodingError as error:
        return Asked(), str(error)
    try:
        return endpoint.read_request(body), None
    except UNREADABLE:
        pass
    try:
        return endpoint.read_request(_mended(body)), None
    except UNREADABLE:
        return Asked(), "request_malformed"


def _read_answer(endpoint: Endpoint, capture: Capture, limit: int) -> Answered:
    if not capture.status:
        return Answered(complete=False)
    chunks, coding = capture.response, capture.content_coding
    try:
        body = chunks[0] if len(chunks) == 1 and not coding else _body(chunks, coding, limit)
    except CodingError as error:
        return Answered(complete=False, error=str(error))
    if capture.status >= 400:
        return Answered(error=_error_of(body) or f"http_{capture.status}")
    if body[:1] != b"{" and (b"event-stream" in capture.content_type or looks_like_events(body)):
        return _read_stream(endpoint, body, cut_short=bool(capture.end))
    try:
        return endpoint.read_answer(body)
    except UNREADABLE:
        return _read_mended_answer(endpoint, body)


def _read_mended_answer(endpoint: Endpoint, body: bytes) -> Answered:
    try:
        return endpoint.read_answer(_mended(body))
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
        return replace(answered, error="stream_truncated")
    return answered


def _leniently_events(endpoint: Endpoint, events: list[bytes]) -> Answered:
    try:
        return endpoint.read_events(events)
    except UNREADABLE:
        return endpoint.read_events([_valid_utf8(data) for data in events])


def _mended(body: bytes) -> bytes:
    """Return a body that cannot be read with invalid UTF-8 replaced and a byte order mark removed."""
    return _valid_utf8(body.removeprefix(BOM))


def _valid_utf8(data: bytes) -> bytes:
    return data.decode("utf-8", "replace").encode()


def _body(chunks: list[bytes], coding: bytes, limit: int) -> bytes:
    return decode_body(b"".join(chunks), coding, limit)


class _Failed(msgspec.Struct):
    error: object = None


_failed = msgspec.json.Decoder(_Failed)


def _error_of(body: bytes) -> str | None:
    try:
        return error_code(_failed.decode(body).error)
    except UNREADABLE:
        return None
